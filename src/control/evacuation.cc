#include "control/evacuation.h"

#include <algorithm>
#include <iterator>

#include "control/admit_move.h"
#include "control/vm_hosts.h"
#include "model/limits.h"
#include "model/state.h"

namespace gantry::control {
namespace {

constexpr Milliseconds kRetryMs = 30'000;
constexpr Milliseconds kRetryMsMax = 300'000;
// So many hosts are looked for in one round.
constexpr std::size_t kTriesAtOnce = 8;
// So many guests are named in a plan, and in what a task says of its progress.
constexpr std::size_t kPlannedMax = 50;
constexpr std::size_t kToldMax = 5;

bool is_there(const v1::Vm& vm, const std::string& host_id) {
  if (vm.placement().host_id() != host_id) return moves_to(vm, host_id) || find_left(vm, host_id) != nullptr;
  // A guest that powered off by itself does not come back by itself.
  return model::holds_memory(vm) && !model::boot_ended(vm);
}

// Its task, if it is not over; of several any.
const v1::Task* open_task(const Draft& draft, const std::string& host_id) {
  for (const std::string& id : draft.view().users_of_kind<v1::Task>(host_id)) {
    const auto* task = draft.find<v1::Task>(id);
    if (task != nullptr && task->action() == "host.update" && !model::is_ended(task->state())) return task;
  }
  return nullptr;
}

using Busy = std::map<std::string, std::size_t>;

// By host: the moves from it and to it, whoever asked for them.
Busy moves_by_host(const Draft& draft) {
  Busy busy;
  for (const auto& [id, record] : draft.view().all<v1::Vm>().by_id) {
    const auto* vm = draft.find<v1::Vm>(id);
    if (vm == nullptr || !vm->placement().has_move()) continue;
    ++busy[vm->placement().host_id()];
    ++busy[vm->placement().move().host_id()];
  }
  return busy;
}

MovesTogether beside(const Busy& busy) {
  MovesTogether others;
  for (const auto& [host_id, moves] : busy) {
    if (moves >= model::kMovesAtOnce) others.trouble[host_id] = "it takes part in " + std::to_string(moves) + " moves";
  }
  return others;
}

std::string why(const v1::Vm& vm, const Error& error) {
  if (vm.meta().has_deletion()) return "it is being deleted";
  return error.cause.empty() ? error.summary : error.cause;
}

std::string why(const v1::Task& task) {
  if (task.state() == v1::Task::CANCELLED) return "its move was cancelled";
  const v1::Problem& problem = task.problem();
  return problem.summary() + (problem.cause().empty() ? "" : ": " + problem.cause());
}

// A move that came to nothing is one task more on record: the next ones come ever later.
void note_failure(const v1::Task& task, Now now, Evacuee& evacuee) {
  evacuee.why = why(task);
  Milliseconds wait_ms = kRetryMs;
  for (int i = 0; i < evacuee.failures && wait_ms < kRetryMsMax; ++i) wait_ms *= 2;
  ++evacuee.failures;
  evacuee.again_ms = now.monotonic_ms + std::min(wait_ms, kRetryMsMax);
  evacuee.revision = 0;
}

// What became of its last move.
void note_move(const MachineContext& context, const v1::Vm& vm, Evacuee& evacuee) {
  if (vm.placement().has_move()) {
    evacuee.move_task_id = vm.placement().move().task_id();
    evacuee.why.clear();
    return;
  }
  if (evacuee.move_task_id.empty()) return;
  const auto* task = context.draft.find<v1::Task>(evacuee.move_task_id);
  if (task != nullptr && !model::is_ended(task->state())) return;
  evacuee.move_task_id.clear();
  // What was planned and not committed is no failure.
  if (task != nullptr && task->state() != v1::Task::SUCCEEDED) note_failure(*task, context.now, evacuee);
}

bool is_due(const v1::Vm& vm, const std::string& host_id, const Evacuee& evacuee, Now now) {
  if (vm.placement().host_id() != host_id || vm.placement().has_move()) return false;
  const bool changed = evacuee.revision != 0 && evacuee.revision != vm.meta().revision();
  return changed || now.monotonic_ms >= evacuee.again_ms;
}

void begin_move(MachineContext& context, const v1::Task& parent, const v1::Vm& vm, const Busy& busy, Evacuee& evacuee) {
  const port::CallOptions options{.actor = parent.actor()};
  Change change(context.draft, options, context.now, context.rng);
  change.step("empty host " + parent.target_name() + ", because it goes into maintenance");
  v1::MoveVmRequest request;
  request.set_id(vm.meta().id());
  MovesTogether others = beside(busy);
  if (auto moved = move_with_others(change, request, others); !moved) {
    evacuee.why = why(vm, moved.error());
    evacuee.revision = vm.meta().revision();
    // Its turn comes as soon as another move has ended.
    const bool waits = moved.error().word() == "no_host_fits" && !others.trouble.empty();
    evacuee.again_ms = context.now.monotonic_ms + (waits ? 0 : kRetryMs);
    return;
  }
  context.draft.create(change.task);
  // It takes memory of a host, as a call might at the same time.
  context.draft.guard();
  evacuee.move_task_id = change.task_id();
  evacuee.why.clear();
}

using Evacuees = std::map<std::string, Evacuee>;

// Those that waited longest first, so that many that cannot go keep nobody from being tried.
std::vector<const v1::Vm*> due_guests(const std::vector<const v1::Vm*>& guests, const std::string& host_id,
                                      const Evacuees& evacuees, Now now) {
  std::vector<const v1::Vm*> due;
  std::ranges::copy_if(guests, std::back_inserter(due),
                       [&](const v1::Vm* vm) { return is_due(*vm, host_id, evacuees.at(vm->meta().id()), now); });
  std::ranges::stable_sort(due, {}, [&](const v1::Vm* vm) { return evacuees.at(vm->meta().id()).again_ms; });
  if (due.size() > kTriesAtOnce) due.resize(kTriesAtOnce);
  return due;
}

void begin_moves(MachineContext& context, const v1::Task& task, const std::vector<const v1::Vm*>& guests,
                 Evacuees& evacuees) {
  const std::string& host_id = task.target_id();
  const auto due = due_guests(guests, host_id, evacuees, context.now);
  if (due.empty()) return;
  const Busy busy = moves_by_host(context.draft);
  const auto own = busy.find(host_id);
  if (own != busy.end() && own->second >= model::kMovesAtOnce) return;
  for (const v1::Vm* vm : due) {
    // What the one before takes is not in the view yet.
    if (context.draft.is_guarded()) {
      context.put_off.insert(host_id);
      return;
    }
    begin_move(context, task, *vm, busy, evacuees[vm->meta().id()]);
  }
}

std::string listed(const std::vector<std::string>& all, const std::string& between) {
  std::string text;
  for (std::size_t i = 0; i < std::min(all.size(), kToldMax); ++i) text += (i == 0 ? "" : between) + all[i];
  return all.size() <= kToldMax ? text : text + between + std::to_string(all.size() - kToldMax) + " more";
}

std::string guest_plan(Change& trial, const v1::Vm& vm, MovesTogether& others) {
  v1::MoveVmRequest request;
  request.set_id(vm.meta().id());
  trial.task.clear_plan();
  const auto moved = move_with_others(trial, request, others);
  return moved ? std::string() : why(vm, moved.error());
}

}  // namespace

std::vector<const v1::Vm*> guests_on(const Draft& draft, const std::string& host_id) {
  std::vector<const v1::Vm*> guests;
  for (const std::string& id : draft.view().users_of_kind<v1::Vm>(host_id)) {
    const auto* vm = draft.find<v1::Vm>(id);
    if (vm != nullptr && is_there(*vm, host_id)) guests.push_back(vm);
  }
  std::ranges::sort(guests, {}, [](const v1::Vm* vm) { return vm->meta().name(); });
  return guests;
}

void plan_evacuation(Change& change, const v1::Host& host) {
  const auto guests = guests_on(change.draft, host.meta().id());
  Draft scratch(change.view());
  // What the host's record was held against is not the guests'.
  const port::CallOptions options{.actor = change.options().actor};
  Change trial(scratch, options, change.now(), change.rng());
  MovesTogether others;
  for (std::size_t i = 0; i < std::min(guests.size(), kPlannedMax); ++i) {
    const v1::Vm& vm = *guests[i];
    if (vm.placement().has_move()) {
      change.step("wait for task " + vm.placement().move().task_id() + ", which moves VM " + vm.meta().name());
      continue;
    }
    if (vm.placement().host_id() != host.meta().id()) {
      change.step("wait until nothing of VM " + vm.meta().name() + " is left on it");
      continue;
    }
    if (const std::string obstacle = guest_plan(trial, vm, others); !obstacle.empty()) {
      change.warn("VM " + vm.meta().name() + " stays until it is stopped or can be moved: " + obstacle);
      continue;
    }
    const auto* target = change.view().find<v1::Host>(trial.task.plan().placement().host_id());
    change.step("move VM " + vm.meta().name() + " to host " + target->meta().name() + ", as things are now");
  }
  if (guests.size() > kPlannedMax) {
    change.step("move " + std::to_string(guests.size() - kPlannedMax) + " more guests, as far as they can be");
  }
}

void run_evacuation(MachineContext& context, const std::string& id) {
  const auto* host = context.draft.find<v1::Host>(id);
  const bool wanted = host != nullptr && host->spec().maintenance() && !host->meta().has_deletion();
  const v1::Task* task = wanted ? open_task(context.draft, id) : nullptr;
  const auto guests = task == nullptr ? std::vector<const v1::Vm*>() : guests_on(context.draft, id);
  if (guests.empty()) {
    context.evacuees.erase(id);
    return;
  }
  // A guest that went does not say so of the host that it left, and time alone lets one be tried again.
  context.look_again.insert(id);
  auto& evacuees = context.evacuees[id];
  std::erase_if(evacuees, [&](const auto& entry) {
    return std::ranges::none_of(guests, [&](const v1::Vm* vm) { return vm->meta().id() == entry.first; });
  });
  for (const v1::Vm* vm : guests) note_move(context, *vm, evacuees[vm->meta().id()]);
  begin_moves(context, *task, guests, evacuees);
}

v1::Progress evacuation_progress(const MachineContext& context, const v1::Task& task) {
  const std::string& host_id = task.target_id();
  const auto guests = guests_on(context.draft, host_id);
  const auto known = context.evacuees.find(host_id);
  std::vector<std::string> moving;
  std::vector<std::string> stuck;
  for (const v1::Vm* vm : guests) {
    const std::string& name = vm->meta().name();
    if (vm->placement().has_move()) {
      moving.push_back(name);
    } else if (vm->placement().host_id() != host_id) {
      stuck.push_back(name + ": something of it is left there");
    } else if (known != context.evacuees.end()) {
      const auto evacuee = known->second.find(vm->meta().id());
      if (evacuee != known->second.end() && !evacuee->second.why.empty())
        stuck.push_back(name + ": " + evacuee->second.why);
    }
  }
  const std::size_t all = std::max<std::size_t>(task.guests_before(), guests.size());
  v1::Progress progress;
  progress.set_measurable(all != 0);
  progress.set_percent(all == 0 ? 0 : static_cast<std::uint32_t>(100 * (all - guests.size()) / all));
  progress.set_phase(std::to_string(guests.size()) + " of " + std::to_string(all) + " guests left" +
                     (moving.empty() ? "" : "; moving " + listed(moving, ", ")) +
                     (stuck.empty() ? "" : "; " + listed(stuck, "; ")));
  return progress;
}

}  // namespace gantry::control
