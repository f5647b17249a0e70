// One change being considered: what the handlers of the CHANGE routes work on. Machines that do what a user could have
// asked for use the same handlers, on the draft of their round.
#pragma once

#include <map>
#include <set>
#include <string>
#include <type_traits>

#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"
#include "control/draft.h"
#include "model/check.h"
#include "port/manager.h"

namespace gantry::control {

// A record that is to go, as that task asked.
void set_deletion(v1::Meta& meta, const std::string& task_id, Now now);
void end_task(v1::Task& task, v1::Task::State state, Now now);

class Change {
 public:
  // The draft and the options must outlive it.
  Change(Draft& draft, const port::CallOptions& options, Now now, Rng& rng);

  Draft& draft;
  // Not in the draft until it is accepted. Its plan is filled in by the handlers.
  v1::Task task;
  // What the volumes made here add to their pools' promises.
  std::map<std::string, std::uint64_t> promised_bytes;

  [[nodiscard]] const View& view() const { return draft.view(); }
  [[nodiscard]] const std::string& task_id() const { return task.meta().id(); }
  [[nodiscard]] Rng& rng() { return rng_; }
  [[nodiscard]] const port::CallOptions& options() const { return options_; }

  void step(std::string sentence) { *task.mutable_plan()->add_steps() = std::move(sentence); }
  void warn(std::string sentence) { *task.mutable_plan()->add_warnings() = std::move(sentence); }
  // There is nothing to wait for.
  void succeed_at_once() { end_task(task, v1::Task::SUCCEEDED, now_); }

  // What a record that is about to be made carries; its id is new. already_exists when the name is taken.
  template <class Record>
  Result<v1::Meta> new_meta(const std::string& name, const google::protobuf::Map<std::string, std::string>& labels) {
    if (draft.has_name<Record>(name)) {
      return fail(ErrorCode::already_exists, quoted<Record>("there is already a", name), "names are unique",
                  "choose another name");
    }
    return make_meta(new_id(Kind<Record>::id_prefix, kHasUid<Record>), name, labels);
  }

  // A record that another is to use; not_found, or a conflict when it is being deleted.
  template <class Record>
  Result<const Record*> find(const std::string& name_or_id) const {
    const Record* record = view().resolve<Record>(name_or_id);
    if (record == nullptr) return not_found(Kind<Record>::noun, name_or_id);
    if (record->meta().has_deletion()) return deleting(Kind<Record>::noun, *record);
    return record;
  }

  // The record the change is about: names it in the task and holds If-Match against it. With `while_deleting`, one
  // whose deletion failed is answered too.
  template <class Record>
  Result<Record*> target(const std::string& action, const std::string& name_or_id, bool while_deleting = false) {
    const Record* record = view().resolve<Record>(name_or_id);
    if (record == nullptr) return not_found(Kind<Record>::noun, name_or_id);
    const v1::Meta& meta = record->meta();
    if (auto matched = check_match(Kind<Record>::noun, meta, shown(*record)); !matched)
      return fail(std::move(matched.error()));
    if (meta.has_deletion() && !(while_deleting && deletion_ended(meta))) return deleting(Kind<Record>::noun, *record);
    name_target(action, meta);
    return &draft.edit<Record>(meta.id());
  }

  void name_target(const std::string& action, const v1::Meta& meta);
  // Instead of those it has. `noun` for the plan's sentence.
  // Answers whether they were others.
  bool label(const google::protobuf::Map<std::string, std::string>& labels, v1::Meta& meta, const std::string& noun);
  // Asks for the deletion of a record of the draft, as this task.
  void mark_deleted(v1::Meta& meta) const { set_deletion(meta, task_id(), now_); }
  [[nodiscard]] Now now() const { return now_; }

  template <class Record>
  static std::string quoted(std::string_view before, const std::string& name) {
    return std::string(before) + " " + std::string(Kind<Record>::noun) + " \"" + name + "\"";
  }

 private:
  // Records whose files are a user's of their own (model/uid.h); no two of them are to have the same.
  template <class Record>
  static constexpr bool kHasUid =
      std::is_same_v<Record, v1::Vm> || std::is_same_v<Record, v1::Volume> || std::is_same_v<Record, v1::Image>;

  std::string new_id(std::string_view prefix, bool has_uid);
  [[nodiscard]] v1::Meta make_meta(std::string id, const std::string& name,
                                   const google::protobuf::Map<std::string, std::string>& labels) const;
  static tl::unexpected<Error> not_found(std::string_view noun, const std::string& name_or_id);
  // A task has no name.
  static std::string shown(const v1::Task& task) { return task.meta().id() + " (" + task.action() + ")"; }
  template <class Record>
  static std::string shown(const Record& record) {
    return "\"" + record.meta().name() + "\"";
  }
  [[nodiscard]] model::Checked check_match(std::string_view noun, const v1::Meta& meta, const std::string& what) const;
  [[nodiscard]] bool deletion_ended(const v1::Meta& meta) const;
  template <class Record>
  static tl::unexpected<Error> deleting(std::string_view noun, const Record& record) {
    return fail(ErrorCode::conflict, "the " + std::string(noun) + " \"" + record.meta().name() + "\" is being deleted",
                "task " + record.meta().deletion().task_id() + " does it", "wait for that task", "deleting");
  }

  const port::CallOptions& options_;
  Now now_;
  Rng& rng_;
  // Of the records made here.
  std::set<std::uint32_t> uids_;
};

}  // namespace gantry::control
