#include "control/change.h"

#include <algorithm>

#include "base/id.h"
#include "control/same_labels.h"
#include "model/state.h"
#include "model/uid.h"

namespace gantry::control {

namespace {

// That lists them.
std::string command_of(std::string_view noun) {
  if (noun == "VM") return "list";
  std::string group(noun);
  std::replace(group.begin(), group.end(), ' ', '-');
  return group + " list";
}

}  // namespace

void set_deletion(v1::Meta& meta, const std::string& task_id, Now now) {
  meta.mutable_deletion()->set_task_id(task_id);
  set_time(*meta.mutable_deletion()->mutable_requested_at(), now.unix_ms);
  meta.set_generation(meta.generation() + 1);
}

void end_task(v1::Task& task, v1::Task::State state, Now now) {
  task.set_state(state);
  set_time(*task.mutable_ended_at(), now.unix_ms);
  task.clear_progress();
}

Change::Change(Draft& on, const port::CallOptions& options, Now now, Rng& rng)
    : draft(on), options_(options), now_(now), rng_(rng) {
  v1::Meta& meta = *task.mutable_meta();
  meta.set_id(make_id(Kind<v1::Task>::id_prefix, rng));
  set_time(*meta.mutable_created_at(), now.unix_ms);
  meta.set_generation(1);
  meta.set_schema_version(kSchemaVersion);
  task.set_actor(options.actor);
  task.set_state(v1::Task::PENDING);
}

std::string Change::new_id(std::string_view prefix, bool has_uid) {
  while (true) {
    std::string id = make_id(prefix, rng_);
    if (!has_uid) return id;
    const std::uint32_t uid = model::guest_uid(id);
    if (view().has_uid(uid) || !uids_.insert(uid).second) continue;
    return id;
  }
}

v1::Meta Change::make_meta(std::string id, const std::string& name,
                           const google::protobuf::Map<std::string, std::string>& labels) const {
  v1::Meta meta;
  meta.set_id(std::move(id));
  meta.set_name(name);
  *meta.mutable_labels() = labels;
  set_time(*meta.mutable_created_at(), now_.unix_ms);
  meta.set_generation(1);
  meta.set_schema_version(kSchemaVersion);
  return meta;
}

void Change::name_target(const std::string& action, const v1::Meta& meta) {
  task.set_action(action);
  task.set_target_id(meta.id());
  task.set_target_name(meta.name());
}

bool Change::label(const google::protobuf::Map<std::string, std::string>& labels, v1::Meta& meta,
                   const std::string& noun) {
  auto& has = *meta.mutable_labels();
  if (same_labels(has, labels)) return false;
  step((labels.empty() ? "take all labels from " : "label ") + noun + (labels.empty() ? " " : " anew: ") + meta.name());
  has = labels;
  return true;
}

tl::unexpected<Error> Change::not_found(std::string_view noun, const std::string& name_or_id) {
  return fail(ErrorCode::not_found, "there is no " + std::string(noun) + " \"" + name_or_id + "\"",
              "no name and no id of one is like that", "see \"gantry " + command_of(noun) + "\"");
}

model::Checked Change::check_match(std::string_view noun, const v1::Meta& meta, const std::string& what) const {
  if (options_.if_match == 0 || options_.if_match == meta.revision()) return {};
  return fail(ErrorCode::conflict, "the " + std::string(noun) + " " + what + " has changed",
              "it is at revision " + std::to_string(meta.revision()) + ", not " + std::to_string(options_.if_match),
              "read it again, then repeat the change", "revision_changed");
}

bool Change::deletion_ended(const v1::Meta& meta) const {
  const auto* earlier = view().find<v1::Task>(meta.deletion().task_id());
  return earlier == nullptr || model::is_ended(earlier->state());
}

}  // namespace gantry::control
