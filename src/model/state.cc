#include "model/state.h"

#include <algorithm>
#include <array>

namespace gantry::model {

bool is_ended(v1::Task::State state) {
  return state == v1::Task::SUCCEEDED || state == v1::Task::FAILED || state == v1::Task::CANCELLED;
}

bool is_observed(const v1::Vm& vm) { return vm.status().observed_generation() >= vm.meta().generation(); }

bool has_guest(v1::VmStatus::State state) {
  return state == v1::VmStatus::STARTING || state == v1::VmStatus::RUNNING || state == v1::VmStatus::PAUSED ||
         state == v1::VmStatus::STOPPING;
}

bool holds_memory(const v1::Vm& vm) {
  if (vm.placement().host_id().empty()) return false;
  // What is being deleted may have its guest still: its host says when it is gone.
  const bool may_have_guest = has_guest(vm.status().state()) || vm.status().state() == v1::VmStatus::DELETING;
  return vm.spec().power() != v1::VmSpec::STOPPED || may_have_guest || !is_observed(vm);
}

bool boot_ended(const v1::Vm& vm) {
  const v1::VmStatus& status = vm.status();
  const bool ended = status.state() == v1::VmStatus::STOPPED || status.state() == v1::VmStatus::CRASHED ||
                     status.state() == v1::VmStatus::FAILED;
  if (!ended || is_observed(vm)) return ended;
  // Not seen since the last change; but a boot that ended never comes back.
  const std::string& boot_id = vm.spec().boot_id();
  return !boot_id.empty() && (status.exit().boot_id() == boot_id || status.failed_operation_id() == boot_id);
}

bool is_held(const v1::VmStatus& status) {
  const std::string& code = status.problem().code();
  return status.state() == v1::VmStatus::PAUSED &&
         (code == "disk_full" || code == "guest_stopped" || code == "lease_lapsed");
}

bool growth_failed(const v1::Volume& volume) {
  const v1::VolumeStatus& status = volume.status();
  return status.state() == v1::VolumeStatus::READY && status.has_problem() &&
         status.observed_generation() >= volume.meta().generation() &&
         status.capacity_bytes() < volume.spec().capacity_bytes();
}

Result<void> check_takes_upload(const v1::Image& image) {
  const v1::ImageStatus& status = image.status();
  const auto refuse = [&image](std::string cause, std::string next_step = "make another image with upload set") {
    return fail(ErrorCode::conflict, "image \"" + image.meta().name() + "\" takes no content", std::move(cause),
                std::move(next_step), "not_waiting_for_upload");
  };
  if (image.meta().has_deletion()) return refuse("it is being deleted");
  if (!image.spec().upload()) return refuse("it was not made for an upload");
  const bool announced = image.meta().generation() > 1 && status.observed_generation() < image.meta().generation();
  if (announced || status.state() == v1::ImageStatus::IMPORTING) {
    return refuse("content came already and is being imported", "wait until its task ends");
  }
  if (status.state() == v1::ImageStatus::READY) return refuse("it has its content already");
  if (!status.path().empty()) {
    return refuse("it had its content already, and other content would spoil the volumes made of it",
                  "put " + status.path() + " back, or delete the image and make another");
  }
  return {};
}

bool is_converged(const v1::Vm& vm) {
  if (vm.meta().has_deletion() || !is_observed(vm)) return false;
  const v1::VmPlacement& placement = vm.placement();
  if (placement.has_move() || placement.has_disk_move() || !placement.left_hosts().empty()) return false;
  if (boot_ended(vm)) return true;
  const auto wanted = vm.spec().power() == v1::VmSpec::PAUSED ? v1::VmStatus::PAUSED : v1::VmStatus::RUNNING;
  return vm.spec().power() != v1::VmSpec::STOPPED && vm.status().state() == wanted;
}

bool is_converged(const v1::Volume& volume) {
  if (volume.meta().has_deletion() || volume.status().observed_generation() < volume.meta().generation()) return false;
  return volume.status().state() == v1::VolumeStatus::READY || volume.status().state() == v1::VolumeStatus::FAILED;
}

bool is_converged(const v1::Image& image) {
  if (image.meta().has_deletion()) return false;
  return image.status().state() == v1::ImageStatus::READY || image.status().state() == v1::ImageStatus::FAILED;
}

bool is_converged(const v1::Network& network) {
  if (network.meta().has_deletion()) return false;
  return network.status().state() == v1::NetworkStatus::READY || network.status().state() == v1::NetworkStatus::FAILED;
}

bool is_converged(const v1::Pool& pool) {
  return !pool.meta().has_deletion() && pool.status().state() != v1::PoolStatus::UNKNOWN;
}

std::uint64_t promised_bytes(const v1::Volume& volume) {
  return std::max(volume.spec().capacity_bytes(), volume.status().capacity_bytes());
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {" bytes", " KiB", " MiB", " GiB", " TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && bytes % 1024 == 0 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  while (bytes >= 10'240 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + kUnits[unit];
}

}  // namespace gantry::model
