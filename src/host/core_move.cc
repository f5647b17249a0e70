// The calls of a move, at both of its ends.
#include <algorithm>

#include "host/core.h"
#include "policy/move_forecast.h"

namespace gantry::host {
namespace {

// Where no limit is asked for: what a network of ten gigabits a second takes. A slower one makes a move longer, not
// wrong.
constexpr std::uint64_t kAssumedBytesPerSecond = 1'100'000'000;
constexpr Milliseconds kDowntimeMs = 100;

Milliseconds downtime_max_ms(const v1::VmMove& move) {
  return move.downtime_ms_max() == 0 ? kDowntimeMs : Milliseconds{move.downtime_ms_max()};
}

policy::MoveLoad load_of(const v1::Vm& vm, std::uint64_t disk_bytes, std::uint64_t dirty_bytes_per_second) {
  const v1::VmMove& move = vm.placement().move();
  return {.memory_bytes = std::uint64_t{vm.spec().memory_mib()} << 20U,
          .disk_bytes = disk_bytes,
          .dirty_bytes_per_second = dirty_bytes_per_second,
          .bytes_per_second = move.bytes_per_second_max() == 0 ? kAssumedBytesPerSecond : move.bytes_per_second_max(),
          .downtime_max_ms = downtime_max_ms(move),
          .postcopy = move.postcopy()};
}

port::MoveTerms terms_of(const v1::Vm& vm) {
  const v1::VmMove& move = vm.placement().move();
  return {.copied_disks = copied_disks(vm),
          .connections = std::max<std::uint32_t>(1, move.connections()),
          .postcopy = move.postcopy()};
}

std::uint32_t to_u32(Milliseconds time_ms) {
  return static_cast<std::uint32_t>(std::clamp<Milliseconds>(time_ms, 0, 0xffff'ffff));
}

}  // namespace

void Core::receive(const std::string& id, VmObject& vm) {
  const std::string& address = host_status_.address();
  const std::string task_id = vm.memory.move.task_id;
  vm.memory.forgotten = false;
  const auto took = [id, task_id](Core& core, const Result<v1::MoveAddress>& result) {
    VmObject& object = core.table_.vms.at(id);
    object.under_way = object.cut_short ? VmStep::kill : VmStep::none;
    core.touch();
    if (object.memory.move.task_id != task_id) return;
    if (result) {
      object.memory.move.address = *result;
    } else {
      object.memory.move.problem = to_problem(result.error(), core.now());
    }
  };
  if (address.empty()) {
    return took(*this, fail(ErrorCode::unavailable, "VM \"" + vm.wanted.meta().name() + "\" cannot come to this host",
                            "it is not known by which address other hosts reach it",
                            "give it one by \"link-address\" in its configuration", "no_host_address"));
  }
  ports_.mover.receive(define(vm), address, terms_of(vm.wanted), alive(took));
}

// What is nowhere written is not sent. What an image under a disk has of it is not known, so all of it may be.
std::uint64_t Core::bytes_to_copy(const v1::Vm& vm) const {
  std::uint64_t bytes = 0;
  for (const v1::CopiedDisk& disk : vm.placement().move().disks()) {
    const auto volume = table_.volumes.find(disk.volume());
    if (volume == table_.volumes.end()) continue;
    const port::VolumeFacts& facts = volume->second.memory.facts;
    const auto image = table_.images.find(volume->second.wanted.spec().image());
    const std::uint64_t below = image == table_.images.end() ? 0 : image->second.memory.facts.virtual_size_bytes;
    bytes += std::min(facts.capacity_bytes, facts.allocation_bytes + below);
  }
  return bytes;
}

void Core::measure(const std::string& id, VmObject& vm) {
  ports_.mover.measure(
      id, alive([id, task_id = vm.memory.move.task_id](Core& core, const Result<std::uint64_t>& result) {
        VmObject& object = core.table_.vms.at(id);
        object.under_way = object.cut_short ? VmStep::kill : VmStep::none;
        core.touch();
        MoveMemory& memory = object.memory.move;
        if (memory.task_id != task_id) return;
        // Without a figure there is no forecast, which keeps nobody from trying.
        memory.measured = true;
        if (!result) return;
        const auto forecast = policy::forecast_move(load_of(object.wanted, core.bytes_to_copy(object.wanted), *result));
        memory.figures.set_dirty_bytes_per_second(*result);
        memory.figures.set_downtime_ms_predicted(to_u32(forecast.downtime_ms));
        memory.figures.set_total_ms_predicted(to_u32(forecast.total_ms));
        if (forecast.converges) return;
        memory.problem = make_problem(
            "move_cannot_converge", "VM \"" + object.wanted.meta().name() + "\" cannot be moved while it runs",
            forecast.reason, "allow it to stand still for longer, or a higher bandwidth", core.now());
      }));
}

void Core::send_guest(const std::string& id, VmObject& vm) {
  const v1::VmMove& move = vm.wanted.placement().move();
  port::MoveRequest request{terms_of(vm.wanted)};
  request.target = move.target().address();
  request.downtime_max_ms = downtime_max_ms(move);
  request.bytes_per_second_max = move.bytes_per_second_max();
  vm.memory.move.stops_sending = false;
  const auto done = [id, task_id = move.task_id()](Core& core, const Result<void>& result) {
    VmObject& object = core.table_.vms.at(id);
    object.under_way = object.cut_short ? VmStep::kill : VmStep::none;
    core.touch();
    MoveMemory& memory = object.memory.move;
    // One that is no longer wanted has its reason already.
    if (result || memory.task_id != task_id || memory.stops_sending) return;
    memory.problem = to_problem(result.error(), core.now());
  };
  const auto progress = [id](Core& core, const port::MoveProgress& told) { core.note_progress(id, told); };
  ports_.mover.send(id, request, alive(progress), alive(done));
}

void Core::note_progress(const std::string& id, const port::MoveProgress& progress) {
  const auto vm = table_.vms.find(id);
  if (vm == table_.vms.end()) return;
  MoveMemory& memory = vm->second.memory.move;
  v1::VmMoveStatus& figures = memory.figures;
  figures.set_downtime_ms(to_u32(progress.downtime_ms));
  figures.set_total_ms(to_u32(progress.total_ms));
  if (progress.dirty_bytes_per_second != 0) figures.set_dirty_bytes_per_second(progress.dirty_bytes_per_second);
  const bool is_new = figures.progress().phase() != progress.phase;
  if (!is_new && now().monotonic_ms - memory.told_at_ms < kProgressEveryMs) return;
  memory.told_at_ms = now().monotonic_ms;
  figures.mutable_progress()->set_phase(progress.phase);
  figures.mutable_progress()->set_percent(progress.percent);
  figures.mutable_progress()->set_measurable(true);
  touch();
}

void Core::take_over(const std::string& id, VmObject& vm) {
  const bool runs = vm.wanted.spec().power() != v1::VmSpec::PAUSED;
  const bool came = guest_of(id).state == port::GuestObservation::State::received;
  if (!came) vm.memory.move.taken_back = true;
  ports_.mover.take_over(id, runs, alive([id, came](Core& core, const Result<void>& result) {
                           VmObject& object = core.table_.vms.at(id);
                           object.under_way = object.cut_short ? VmStep::kill : VmStep::none;
                           core.touch();
                           MoveMemory& memory = object.memory.move;
                           if (!result) {
                             if (!object.cut_short) core.note_vm_failure(object, result.error(), "");
                           } else if (came) {
                             // The source's own figures, and what was waited for here.
                             const v1::VmMoveStatus& sent = object.wanted.status().move();
                             const Milliseconds now_ms = core.now().monotonic_ms;
                             const Milliseconds waited_ms = now_ms - memory.received_at_ms.value_or(now_ms);
                             if (sent.task_id() == memory.task_id) memory.figures = sent;
                             memory.figures.set_phase(v1::VmMoveStatus::ARRIVED);
                             memory.figures.set_downtime_ms(to_u32(sent.downtime_ms() + waited_ms));
                             memory.figures.set_total_ms(to_u32(sent.total_ms() + waited_ms));
                             memory.figures.clear_progress();
                             memory.went_on_at_ms = now_ms;
                           } else if (const v1::VmMove& move = object.wanted.placement().move();
                                      !move.cancelled() && move.target().phase() == v1::VmMoveStatus::PREPARED) {
                             memory.problem = make_problem("move_not_answered",
                                                           "VM \"" + object.wanted.meta().name() + "\" was not moved",
                                                           "the other host did not say in time that everything came",
                                                           "move it again", core.now());
                           }
                         }));
}

}  // namespace gantry::host
