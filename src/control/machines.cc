#include "control/machines.h"

#include <algorithm>

#include "control/change.h"
#include "control/disk_moves.h"
#include "control/evacuation.h"
#include "control/host_records.h"
#include "control/keepers.h"
#include "control/moves.h"
#include "control/segments.h"
#include "control/task_machine.h"
#include "control/vm_hosts.h"
#include "model/state.h"

namespace gantry::control {
namespace {

constexpr Milliseconds kProgressEveryMs = 1'000;
constexpr Milliseconds kIdempotencyKeyMs = 24LL * 3600 * 1000;
// Of each kind; half a transaction must hold them all.
constexpr std::size_t kPrunedAtOnce = 20;
// So many changes follow in one transaction.
constexpr std::size_t kChangesAtOnce = 40;

// Whether it is another state than before.
bool run_host(MachineContext& context, const std::string& id) {
  const auto* host = context.draft.find<v1::Host>(id);
  if (host == nullptr) return false;
  const bool connected = context.connected.count(id) != 0;
  if (host->meta().has_deletion()) {
    const Milliseconds asked_ms = time_of(host->meta().deletion().requested_at());
    const bool waited = context.now.unix_ms - asked_ms >= kLeavingMs;
    // Of a machine that is not there nothing can be taken away.
    finish_leaving(context.draft, id, waited || (!connected && context.may_lose_hosts), context.now);
    if (context.draft.find<v1::Host>(id) == nullptr) return true;
    // What goes does not say so of its host, and time alone may end it.
    context.look_again.insert(id);
  }
  if (!connected && !context.may_lose_hosts) return false;
  const auto state = connected ? v1::HostStatus::CONNECTED : v1::HostStatus::LOST;
  if (host->status().state() == state) return false;
  v1::HostStatus& status = *context.draft.edit<v1::Host>(id).mutable_status();
  status.set_state(state);
  set_time(*status.mutable_last_seen_at(), context.now.unix_ms);
#ifdef GANTRY_BREAK_START_ELSEWHERE
  // A defect for the simulator to catch: the guests of a lost host are started on another, though they may run on.
  if (connected || context.connected.empty()) return true;
  for (const std::string& vm_id : context.draft.view().users_of_kind<v1::Vm>(id)) {
    context.draft.edit<v1::Vm>(vm_id).mutable_placement()->set_host_id(*context.connected.begin());
  }
#endif
  return true;
}

// A deleted VM that is gone from its hosts: first its own volumes go, then the record.
void run_vm(MachineContext& context, const std::string& id) {
  Draft& draft = context.draft;
  const auto* vm = draft.find<v1::Vm>(id);
  if (vm == nullptr || !vm->meta().has_deletion() || !hosts_of(*vm).empty()) return;
  const std::string task_id = vm->meta().deletion().task_id();
  bool volumes_left = false;
  for (const std::string& volume_id : draft.view().users_of_kind<v1::Volume>(id)) {
    const auto* volume = draft.find<v1::Volume>(volume_id);
    if (volume == nullptr || volume->spec().owner_vm_id() != id) continue;
    volumes_left = true;
    if (volume->meta().deletion().task_id() == task_id) continue;
    set_deletion(*draft.edit<v1::Volume>(volume_id).mutable_meta(), task_id, context.now);
  }
  if (!volumes_left) draft.erase<v1::Vm>(id);
}

template <class Record>
bool is_gone(const Draft& draft, const std::string& id) {
  return draft.find<Record>(id) == nullptr;
}

// What is gone is named no more: a new thing never has an old one's id.
void run_rule(MachineContext& context, const std::string& id) {
  Draft& draft = context.draft;
  const auto* rule = draft.find<v1::Rule>(id);
  if (rule == nullptr) return;
  v1::RuleSpec spec = rule->spec();
  auto& vms = *spec.mutable_vms();
  auto& hosts = *spec.mutable_hosts();
  vms.erase(std::remove_if(vms.begin(), vms.end(), [&](const auto& vm) { return is_gone<v1::Vm>(draft, vm); }),
            vms.end());
  hosts.erase(
      std::remove_if(hosts.begin(), hosts.end(), [&](const auto& host) { return is_gone<v1::Host>(draft, host); }),
      hosts.end());
  if (vms.size() == rule->spec().vms_size() && hosts.size() == rule->spec().hosts_size()) return;
  *draft.edit<v1::Rule>(id).mutable_spec() = std::move(spec);
}

// Ended tasks are written at once, progress at most each second.
void run_task(MachineContext& context, const std::string& id) {
  const auto* task = context.draft.find<v1::Task>(id);
  if (task == nullptr || model::is_ended(task->state())) {
    context.progress_written_ms.erase(id);
    return;
  }
  TaskVerdict verdict = judge_task(context.draft, *task, context.now);
  if (model::is_ended(verdict.state)) {
    v1::Task& ended = context.draft.edit<v1::Task>(id);
    end_task(ended, verdict.state, context.now);
    if (verdict.state != v1::Task::SUCCEEDED) *ended.mutable_problem() = std::move(verdict.problem);
    if (!verdict.progress.phase().empty()) *ended.mutable_progress() = std::move(verdict.progress);
    context.progress_written_ms.erase(id);
    return;
  }
  if (verdict.state == v1::Task::PENDING) return;
  if (task->action() == "host.update") verdict.progress = evacuation_progress(context, *task);
  if (task->state() == v1::Task::RUNNING && to_bytes(task->progress()) == to_bytes(verdict.progress)) return;
  const auto written = context.progress_written_ms.find(id);
  if (written != context.progress_written_ms.end() && context.now.monotonic_ms - written->second < kProgressEveryMs) {
    context.look_again.insert(id);
    return;
  }
  context.progress_written_ms[id] = context.now.monotonic_ms;
  v1::Task& running = context.draft.edit<v1::Task>(id);
  running.set_state(v1::Task::RUNNING);
  *running.mutable_progress() = std::move(verdict.progress);
}

// Everything that may follow from a change of those records. What hosts and pools are makes a difference to tasks
// alone.
std::set<std::string> followers(const Draft& draft, const std::set<std::string>& dirty) {
  std::set<std::string> all = dirty;
  std::vector<std::string> next(dirty.begin(), dirty.end());
  while (!next.empty()) {
    const std::string id = std::move(next.back());
    next.pop_back();
    const bool wide = draft.view().find<v1::Host>(id) != nullptr || draft.view().find<v1::Pool>(id) != nullptr;
    const auto users =
        wide ? draft.view().users_of_kind<v1::Task>(id)
             : std::vector<std::string>(draft.view().users_of(id).begin(), draft.view().users_of(id).end());
    for (const std::string& user : users) {
      if (all.insert(user).second) next.push_back(user);
    }
    // The task of a disk's move names the volume.
    const auto* vm = draft.view().find<v1::Vm>(id);
    if (vm != nullptr && vm->placement().has_disk_move()) all.insert(vm->placement().disk_move().task_id());
    const auto* volume = draft.view().find<v1::Volume>(id);
    if (volume == nullptr || volume->spec().owner_vm_id().empty()) continue;
    if (all.insert(volume->spec().owner_vm_id()).second) next.push_back(volume->spec().owner_vm_id());
  }
  return all;
}

template <class Record>
bool is_unsettled(const View& view, const std::string& id) {
  const Record* record = view.find<Record>(id);
  return record != nullptr && !model::is_converged(*record);
}

bool is_old(const View& view, const std::string& key, Now now) {
  const v1::IdempotencyKey& record = view.idempotency_keys().at(key).record;
  return now.unix_ms - time_of(record.accepted_at()) >= kIdempotencyKeyMs;
}

}  // namespace

void run_machines(MachineContext& context, const std::set<std::string>& dirty) {
  const std::set<std::string> all = followers(context.draft, dirty);
  const std::size_t most = context.draft.changes() + kChangesAtOnce;
  // What is only looked at uses up nothing: a round that puts off has something to write, so that rounds come to an
  // end.
  bool full = false;
  const auto has_room = [&] {
    if (full || context.draft.changes() < most) return !full;
    context.draft.drop_unchanged();
    full = context.draft.changes() >= most;
    return !full;
  };
  const auto each = [&](const auto& run) {
    for (const std::string& id : all) {
      if (has_room()) {
        run(context, id);
      } else {
        context.put_off.insert(id);
      }
    }
  };
  bool hosts_moved = false;
  each([&](MachineContext& machine, const std::string& id) { hosts_moved = run_host(machine, id) || hosts_moved; });
  for (const std::string& id : context.draft.view().segments()) {
    if (!hosts_moved && !all.contains(id)) continue;
    if (has_room()) {
      settle_segment(context.draft, id);
    } else {
      context.put_off.insert(id);
    }
  }
  for (const auto run : {run_move, run_evacuation, run_disk_move, run_vm, run_keepers, run_rule, run_task}) each(run);
}

bool is_open(const View& view, const std::string& id) {
  const auto* host = view.find<v1::Host>(id);
  return (host != nullptr && host->meta().has_deletion()) || !view.users_of_kind<v1::Task>(id).empty() ||
         is_unsettled<v1::Vm>(view, id) || is_unsettled<v1::Volume>(view, id) || is_unsettled<v1::Image>(view, id) ||
         is_unsettled<v1::Network>(view, id) || is_unsettled<v1::Pool>(view, id);
}

bool has_ended_token(const View& view, Now now) {
  return std::ranges::any_of(view.host_tokens(),
                             [now](const auto& token) { return has_ended(token.second.record, now); });
}

bool has_old_key(const View& view, Now now) {
  return !view.keys_by_age().empty() && is_old(view, view.keys_by_age().begin()->second, now);
}

void prune(Draft& draft, std::size_t ended_tasks_max, std::size_t keys_max, Now now) {
  const View& view = draft.view();
  std::size_t excess = view.ended_tasks() - std::min(view.ended_tasks(), ended_tasks_max);
  excess = std::min(excess, kPrunedAtOnce);
  for (const auto& [created_ms, id] : view.tasks_by_time()) {
    if (excess == 0) break;
    if (!model::is_ended(view.find<v1::Task>(id)->state())) continue;
    draft.erase<v1::Task>(id);
    --excess;
  }
  const auto& keys = view.keys_by_age();
  std::size_t left = kPrunedAtOnce;
  std::size_t count = keys.size();
  for (auto oldest = keys.begin(); oldest != keys.end() && left > 0; ++oldest, --left, --count) {
    if (count <= keys_max && !is_old(view, oldest->second, now)) break;
    draft.compare(oldest->second, oldest->first);
    draft.erase_key(oldest->second);
  }
  std::size_t tokens_left = kPrunedAtOnce;
  for (const auto& [hash, token] : view.host_tokens()) {
    if (!has_ended(token.record, now)) continue;
    if (tokens_left-- == 0) break;
    const std::string key = model::record_key(model::kHostToken, hash);
    draft.compare(key, token.revision);
    draft.erase_key(key);
  }
}

}  // namespace gantry::control
