#include "control/task_machine.h"

#include <algorithm>

#include "control/disk_moves.h"
#include "control/evacuation.h"
#include "control/segments.h"
#include "control/wording.h"
#include "model/limits.h"
#include "model/state.h"

namespace gantry::control {
namespace {

// So long a guest's processors are tried to be held or let go on.
constexpr Milliseconds kPauseTriesMs = 120'000;

TaskVerdict succeeded() { return {.state = v1::Task::SUCCEEDED}; }
TaskVerdict failed(const v1::Problem& problem) { return {.state = v1::Task::FAILED, .problem = problem}; }

TaskVerdict cancelled(const v1::Task& task, std::string cause) {
  return {.state = v1::Task::CANCELLED,
          .problem = make_problem("superseded", task.action() + " of \"" + task.target_name() + "\" was not finished",
                                  std::move(cause), "")};
}

TaskVerdict working(std::string phase) {
  TaskVerdict verdict{.state = v1::Task::RUNNING};
  verdict.progress.set_phase(std::move(phase));
  return verdict;
}

// A status that failed without saying why still has to say something.
v1::Problem problem_of(const v1::Task& task, const v1::Problem& problem) {
  if (!problem.summary().empty()) return problem;
  return unexplained(task.action() + " of \"" + task.target_name() + "\" failed");
}

// What is told of an object that is not as it should be yet.
template <class Status>
std::string phase_of(const Status& status, std::string otherwise) {
  return status.has_problem() ? "trying again: " + status.problem().summary() : std::move(otherwise);
}

TaskVerdict working_on(const v1::Vm& vm) {
  const std::string& waiting_for = vm.status().waiting_for();
  std::string phase = waiting_for.empty() ? "" : "waiting for " + waiting_for;
  // A problem that ended another operation is not what this one tries again.
  if (!vm.status().failed_operation_id().empty()) return working(std::move(phase));
  return working(phase_of(vm.status(), std::move(phase)));
}

template <class Status>
TaskVerdict working_on(const Status& status) {
  TaskVerdict verdict{.state = v1::Task::RUNNING, .progress = status.progress()};
  verdict.progress.set_phase(phase_of(status, status.progress().phase()));
  return verdict;
}

// QEMU itself holds the guest, and just now nobody tries to let it go on.
bool is_held(const v1::Vm& vm) {
  return model::is_observed(vm) && model::is_held(vm.status()) && vm.status().waiting_for().empty();
}

TaskVerdict guest_ended(const v1::Task& task, const v1::Vm& vm) {
  if (vm.status().has_problem()) return failed(vm.status().problem());
  return failed(make_problem("vm_not_running",
                             "could not " + task.action().substr(3) + " VM \"" + vm.meta().name() + "\"",
                             "its guest ended before", "start it again"));
}

// What the VM waits for, or what its first volume that is not ready is about.
TaskVerdict vm_progress(const Draft& draft, const v1::Vm& vm) {
  if (vm.status().observed().sequence() == 0 && vm.status().observed().incarnation() == 0) return {};
  for (const v1::VmDisk& disk : vm.spec().disks()) {
    const auto* volume = draft.find<v1::Volume>(disk.volume());
    if (volume == nullptr || volume->status().state() == v1::VolumeStatus::READY) continue;
    TaskVerdict verdict = working_on(volume->status());
    const auto* image = draft.find<v1::Image>(volume->spec().image());
    if (image != nullptr && image->status().state() == v1::ImageStatus::IMPORTING) {
      verdict = working_on(image->status());
    }
    const bool grows = volume->status().state() == v1::VolumeStatus::RESIZING;
    if (verdict.progress.phase().empty()) {
      verdict.progress.set_phase((grows ? "growing volume " : "making volume ") + volume->meta().name());
    }
    return verdict;
  }
  return working_on(vm);
}

// The boot that this task names was asked for and not since taken back.
TaskVerdict judge_boot(const Draft& draft, const v1::Task& task, const v1::Vm& vm) {
  const v1::VmStatus& status = vm.status();
  const std::string& id = task.meta().id();
  if (status.boot_id() == id) {
    if (is_held(vm)) return failed(status.problem());
    const bool paused = status.state() == v1::VmStatus::PAUSED && !model::is_held(status);
    if (status.state() == v1::VmStatus::RUNNING || paused) return succeeded();
    const bool ran = status.exit().boot_id() == id && status.exit().reason() == v1::VmExit::GUEST_SHUTDOWN;
    if (status.state() == v1::VmStatus::STOPPED && ran) return succeeded();
    if (status.state() == v1::VmStatus::CRASHED) return failed(problem_of(task, status.problem()));
  }
  if (status.state() == v1::VmStatus::FAILED && status.failed_operation_id() == id) {
    return failed(problem_of(task, status.problem()));
  }
  if (vm.spec().boot_id() != id) return cancelled(task, "a later operation wants another boot of the guest");
  if (vm.spec().power() == v1::VmSpec::STOPPED) return cancelled(task, "the VM was stopped meanwhile");
  if (model::boot_ended(vm) && status.boot_id() == id) return guest_ended(task, vm);
  return vm_progress(draft, vm);
}

bool volumes_ready(const Draft& draft, const v1::Vm& vm) {
  for (const v1::VmDisk& disk : vm.spec().disks()) {
    const auto* volume = draft.find<v1::Volume>(disk.volume());
    if (volume == nullptr || volume->status().state() != v1::VolumeStatus::READY) return false;
  }
  return true;
}

TaskVerdict judge_create_stopped(const Draft& draft, const v1::Task& task, const v1::Vm& vm) {
  if (model::is_observed(vm) && vm.status().state() == v1::VmStatus::FAILED) {
    return failed(problem_of(task, vm.status().problem()));
  }
  if (model::is_observed(vm) && vm.status().state() == v1::VmStatus::STOPPED && volumes_ready(draft, vm)) {
    return succeeded();
  }
  return vm_progress(draft, vm);
}

TaskVerdict judge_stop(const v1::Task& task, const v1::Vm& vm) {
  if (model::boot_ended(vm)) {
    // Also when it failed: no guest is left then.
    return succeeded();
  }
  if (vm.spec().power() != v1::VmSpec::STOPPED) return cancelled(task, "the VM was started again meanwhile");
  return working_on(vm);
}

TaskVerdict judge_reset(const v1::Task& task, const v1::Vm& vm) {
  const std::string& id = task.meta().id();
  if (vm.status().reset_id() == id) return succeeded();
  if (vm.status().failed_operation_id() == id) return failed(problem_of(task, vm.status().problem()));
  if (vm.spec().reset_id() != id) return cancelled(task, "a later operation took its place");
  if (vm.spec().power() == v1::VmSpec::STOPPED) return cancelled(task, "the VM was stopped meanwhile");
  if (model::boot_ended(vm)) return guest_ended(task, vm);
  return working_on(vm);
}

TaskVerdict judge_pause(const v1::Task& task, const v1::Vm& vm, v1::VmSpec::Power wanted, v1::VmStatus::State state,
                        Now now) {
  if (vm.spec().power() != wanted) return cancelled(task, "a later operation wants another state");
  if (!model::is_observed(vm)) return {};
  if (vm.status().state() == state) return succeeded();
  if (model::boot_ended(vm)) return guest_ended(task, vm);
  if (is_held(vm)) return failed(vm.status().problem());
  // The host has no name for these operations, so it cannot say when it gives one up.
  const v1::Problem& problem = vm.status().problem();
  // By the host's own clock, whose date may be ahead of this one.
  const Milliseconds told_ms = time_of(problem.since()) > now.unix_ms ? 0 : time_of(problem.since());
  const Milliseconds since_ms = std::max(told_ms, time_of(task.meta().created_at()));
  if (vm.status().has_problem() && now.unix_ms - since_ms > kPauseTriesMs) return failed(problem_of(task, problem));
  return working_on(vm);
}

std::string host_text(const Draft& draft, const std::string& host_id) {
  const auto* host = draft.find<v1::Host>(host_id);
  if (host == nullptr) return "host " + host_id;
  const bool connected = host->status().state() == v1::HostStatus::CONNECTED;
  return "host " + host->meta().name() + (connected ? "" : ", which is not connected");
}

std::string milliseconds(std::uint64_t ms) {
  if (ms < 10'000) return std::to_string(ms) + " ms";
  return std::to_string(ms / 1000) + "." + std::to_string(ms / 100 % 10) + " s";
}

// "; it takes some 12.0 s, and the guest stands still for 80 ms".
std::string forecast_text(const v1::VmMoveStatus& move) {
  if (move.total_ms_predicted() == 0) return {};
  return "; all of it takes some " + milliseconds(move.total_ms_predicted()) +
         ", of which the guest stands still for " + milliseconds(move.downtime_ms_predicted());
}

std::string measured_text(const v1::VmMoveStatus& move) {
  std::string text = "moved in " + milliseconds(move.total_ms()) + ", of which the guest stood still for " +
                     milliseconds(move.downtime_ms());
  if (move.total_ms_predicted() == 0) return text;
  return text + "; foreseen were " + milliseconds(move.total_ms_predicted()) + " and " +
         milliseconds(move.downtime_ms_predicted());
}

// Both hosts work at it, or one is waited for.
TaskVerdict moving(const Draft& draft, const v1::Vm& vm) {
  const v1::VmMove& move = vm.placement().move();
  const std::string source = host_text(draft, vm.placement().host_id());
  const std::string target = host_text(draft, move.host_id());
  if (move.cancelled()) {
    const std::string why = move.problem().cause().empty() ? "" : ": " + move.problem().cause();
    return working("waiting for " + source + " to keep the guest" + why);
  }
  const bool told = vm.status().host_id() == vm.placement().host_id() && vm.status().move().task_id() == move.task_id();
  const v1::VmMoveStatus::Phase phase = told ? vm.status().move().phase() : v1::VmMoveStatus::NONE;
  if (phase == v1::VmMoveStatus::SENT) {
    const bool arrived = move.target().phase() == v1::VmMoveStatus::ARRIVED;
    return working("the guest stands still; waiting for " +
                   (arrived ? source + " to give it away" : target + " to have all of it"));
  }
  if (phase == v1::VmMoveStatus::COPYING) {
    TaskVerdict verdict{.state = v1::Task::RUNNING, .progress = vm.status().move().progress()};
    const std::string& what = vm.status().move().progress().phase();
    verdict.progress.set_measurable(!what.empty());
    verdict.progress.set_phase((what.empty() ? "beginning to copy its memory" : what) +
                               forecast_text(vm.status().move()));
    return verdict;
  }
  const bool prepared = move.target().phase() == v1::VmMoveStatus::PREPARED;
  return working("waiting for " + (prepared ? source + " to begin" : target + " to make ready"));
}

TaskVerdict judge_move(const Draft& draft, const v1::Task& task, const v1::Vm& vm) {
  const v1::VmPlacement& placement = vm.placement();
  const v1::VmStatus& status = vm.status();
  if (placement.move().task_id() == task.meta().id()) return moving(draft, vm);
  if (placement.moved_by() != task.meta().id()) return cancelled(task, "a later operation took its place");
  if (status.host_id() != placement.host_id()) {
    return working("waiting for " + host_text(draft, placement.host_id()) + " to let the guest go on");
  }
  const bool told = status.move().task_id() == task.meta().id();
  // It is booted anew then, or waits for that.
  if (told && status.move().phase() == v1::VmMoveStatus::FAILED) {
    return failed(problem_of(task, status.move().problem()));
  }
  if (status.state() == v1::VmStatus::CRASHED || status.state() == v1::VmStatus::FAILED) {
    return failed(problem_of(task, status.problem()));
  }
  const bool goes_on = status.state() == v1::VmStatus::RUNNING || status.state() == v1::VmStatus::PAUSED;
  if (!goes_on && !model::boot_ended(vm)) return working_on(vm);
  if (told && goes_on && status.move().fetching()) {
    return working("the guest goes on on " + host_text(draft, placement.host_id()) +
                   "; fetching the rest of its memory" + forecast_text(status.move()));
  }
  TaskVerdict verdict = succeeded();
  if (told) verdict.progress.set_phase(measured_text(status.move()));
  return verdict;
}

TaskVerdict judge_vm(const Draft& draft, const v1::Task& task, const v1::Vm& vm, Now now) {
  const std::string& action = task.action();
  if (action == "vm.create" && vm.spec().boot_id().empty()) return judge_create_stopped(draft, task, vm);
  if (action == "vm.create" || action == "vm.start" || action == "vm.restart") return judge_boot(draft, task, vm);
  if (action == "vm.stop") return judge_stop(task, vm);
  if (action == "vm.reset") return judge_reset(task, vm);
  if (action == "vm.move") return judge_move(draft, task, vm);
  if (action == "vm.pause") return judge_pause(task, vm, v1::VmSpec::PAUSED, v1::VmStatus::PAUSED, now);
  if (action == "vm.resume") return judge_pause(task, vm, v1::VmSpec::RUNNING, v1::VmStatus::RUNNING, now);
  return failed(make_problem("unknown_action", "nothing is known of \"" + action + "\"",
                             "another version of Gantry accepted it", "repeat it"));
}

// Until the switch its host works at it; then only what it was copied from is left to delete, with which the task ends.
TaskVerdict judge_disk_move(const Draft& draft, const v1::Task& task) {
  for (const std::string& id : draft.view().users_of_kind<v1::Vm>(task.target_id())) {
    const auto* vm = draft.find<v1::Vm>(id);
    if (vm == nullptr || vm->placement().disk_move().task_id() != task.meta().id()) continue;
    const v1::VmMoveStatus& word = disk_move_word(*vm);
    const std::string host = host_text(draft, vm->placement().host_id());
    if (vm->placement().disk_move().cancelled()) return working("waiting for " + host + " to keep the disk");
    TaskVerdict verdict = working(word.progress().phase());
    verdict.progress.set_percent(word.progress().percent());
    verdict.progress.set_measurable(word.progress().measurable());
    if (verdict.progress.phase().empty()) verdict.progress.set_phase("waiting for " + host + " to begin");
    return verdict;
  }
  return cancelled(task, "a later operation took its place");
}

TaskVerdict judge_volume(const v1::Task& task, const v1::Volume& volume) {
  const v1::VolumeStatus& status = volume.status();
  const bool seen = status.observed_generation() >= volume.meta().generation();
  if (status.state() == v1::VolumeStatus::FAILED && seen) return failed(problem_of(task, status.problem()));
  // A healthy volume that could not be made larger.
  if (seen && model::growth_failed(volume) && task.action() == "volume.resize") return failed(status.problem());
  if (status.state() == v1::VolumeStatus::READY && (seen || task.action() == "volume.create")) return succeeded();
  const bool waits = status.state() == v1::VolumeStatus::PENDING && status.progress().phase().empty();
  return waits && !status.has_problem() ? TaskVerdict{} : working_on(status);
}

TaskVerdict judge_image(const v1::Task& task, const v1::Image& image, Now now) {
  const v1::ImageStatus& status = image.status();
  if (status.state() == v1::ImageStatus::READY) return succeeded();
  if (status.state() == v1::ImageStatus::FAILED) return failed(problem_of(task, status.problem()));
  if (status.state() == v1::ImageStatus::WAITING) {
    if (now.unix_ms - time_of(task.meta().created_at()) > model::kUploadWaitMs) {
      return failed(make_problem("upload_missing", "image \"" + image.meta().name() + "\" has no content",
                                 "nothing was uploaded for a day", "upload it now, or delete the image"));
    }
    return working("waiting for its content to be uploaded");
  }
  return working_on(status);
}

TaskVerdict judge_network(const v1::Task& task, const v1::Network& network) {
  if (network.status().state() == v1::NetworkStatus::READY) return succeeded();
  if (network.status().state() == v1::NetworkStatus::FAILED)
    return failed(problem_of(task, network.status().problem()));
  return network.status().has_problem() ? working(phase_of(network.status(), "")) : TaskVerdict{};
}

TaskVerdict judge_pool(const v1::Task& task, const v1::Pool& pool) {
  if (pool.status().state() == v1::PoolStatus::READY) return succeeded();
  if (pool.status().state() == v1::PoolStatus::FAILED) return failed(problem_of(task, pool.status().problem()));
  return {};
}

// Of what is changed of a host its maintenance alone takes time.
TaskVerdict judge_maintenance(const Draft& draft, const v1::Task& task, const v1::Host* host) {
  if (host == nullptr || host->meta().has_deletion()) return cancelled(task, "its host leaves the cluster");
  if (!host->spec().maintenance()) return cancelled(task, "its maintenance was ended");
  return guests_on(draft, host->meta().id()).empty() ? succeeded() : working("");
}

TaskVerdict judge_host(const Draft& draft, const v1::Task& task, const v1::Host* host) {
  if (task.action() == "host.update") return judge_maintenance(draft, task, host);
  if (host == nullptr) return succeeded();
  if (host->meta().deletion().task_id() != task.meta().id()) return cancelled(task, "a later operation took its place");
  return working("waiting for the machine to give up what it has, a minute at most");
}

bool is_delete(const v1::Task& task) {
  const std::string& action = task.action();
  return action.size() > 7 && action.compare(action.size() - 7, 7, ".delete") == 0;
}

template <class Status>
std::string failed_operation(const Status& status) {
  return status.failed_operation_id();
}
std::string failed_operation(const v1::PoolStatus&) { return {}; }

// The problem of a volume that goes with its VM and cannot.
const v1::Problem* volume_obstacle(const Draft& draft, const v1::Task& task) {
  for (const std::string& id : draft.view().users_of_kind<v1::Volume>(task.target_id())) {
    const auto* volume = draft.find<v1::Volume>(id);
    if (volume != nullptr && volume->status().failed_operation_id() == task.meta().id()) {
      return &volume->status().problem();
    }
  }
  return nullptr;
}

// What holds for every kind: the target is gone, or on its way. Nothing when the kind's own rules decide.
template <class Record>
std::optional<TaskVerdict> judge_going(const Draft& draft, const v1::Task& task, const Record* record) {
  if (record == nullptr) {
    if (is_delete(task)) return succeeded();
    return cancelled(task,
                     task.cancel_requested() ? "it was cancelled, and what it made is gone" : "its target was deleted");
  }
  if (!record->meta().has_deletion()) {
    if (is_delete(task)) return cancelled(task, "its target is not being deleted");
    return std::nullopt;
  }
  if (record->meta().deletion().task_id() != task.meta().id()) return cancelled(task, "its target is being deleted");
  if (failed_operation(record->status()) == task.meta().id())
    return failed(problem_of(task, record->status().problem()));
  if (const v1::Problem* problem = volume_obstacle(draft, task)) return failed(problem_of(task, *problem));
  return working(phase_of(record->status(), ""));
}

TaskVerdict judge_network_or_going(const Draft& draft, const v1::Task& task, const v1::Network* network) {
  auto going = judge_going(draft, task, network);
  if (!going) return judge_network(task, *network);
  if (network == nullptr || going->state != v1::Task::RUNNING) return *going;
  if (const std::string hosts = waited_for(draft, *network); !hosts.empty()) {
    going->progress.set_phase("waiting for it to be taken down on " + hosts);
  }
  return *going;
}

}  // namespace

TaskVerdict judge_task(const Draft& draft, const v1::Task& task, Now now) {
  const std::string& id = task.target_id();
  const std::string kind = task.action().substr(0, task.action().find('.'));
  if (kind == "vm") {
    const auto* vm = draft.find<v1::Vm>(id);
    const auto going = judge_going(draft, task, vm);
    return going ? *going : judge_vm(draft, task, *vm, now);
  }
  if (kind == "volume") {
    const auto* volume = draft.find<v1::Volume>(id);
    const bool moves = task.action() == "volume.move";
    if (moves && volume == nullptr) return succeeded();
    const auto going = judge_going(draft, task, volume);
    if (moves && !going) return judge_disk_move(draft, task);
    return going ? *going : judge_volume(task, *volume);
  }
  if (kind == "image") {
    const auto* image = draft.find<v1::Image>(id);
    const auto going = judge_going(draft, task, image);
    return going ? *going : judge_image(task, *image, now);
  }
  if (kind == "network") return judge_network_or_going(draft, task, draft.find<v1::Network>(id));
  if (kind == "host") return judge_host(draft, task, draft.find<v1::Host>(id));
  const auto* pool = draft.find<v1::Pool>(id);
  const auto going = judge_going(draft, task, pool);
  return going ? *going : judge_pool(task, *pool);
}

}  // namespace gantry::control
