#include "host/core.h"

namespace gantry::host {
namespace {

void set_status(v1::Observation& observation, const v1::VmStatus& status) { *observation.mutable_vm() = status; }
void set_status(v1::Observation& observation, const v1::VolumeStatus& status) {
  *observation.mutable_volume() = status;
}
void set_status(v1::Observation& observation, const v1::ImageStatus& status) { *observation.mutable_image() = status; }
void set_status(v1::Observation& observation, const v1::NetworkStatus& status) {
  *observation.mutable_network() = status;
}
void set_status(v1::Observation& observation, const v1::PoolStatus& status) { *observation.mutable_pool() = status; }

// The memory that is free changes all the time: only a change of a twentieth is worth telling.
bool tells_the_same(const v1::HostStatus& told, v1::HostStatus found) {
  const std::uint64_t before = told.memory_available_bytes();
  const std::uint64_t after = found.memory_available_bytes();
  const std::uint64_t difference = before > after ? before - after : after - before;
  if (difference > found.memory_bytes() / 20) return false;
  found.set_memory_available_bytes(before);
  return found.SerializeAsString() == told.SerializeAsString();
}

}  // namespace

void Core::send(v1::FromHost message) {
  message.set_host_id(options_.host_id);
  message.set_host_name(options_.host_name);
  message.mutable_mark()->set_incarnation(options_.incarnation);
  message.mutable_mark()->set_sequence(++sequence_);
  ports_.link.send(message);
}

void Core::say_hello() {
  v1::FromHost message;
  message.set_hello(true);
  if (host_probed_) *message.mutable_host() = host_status_;
  send(std::move(message));
}

void Core::forget_told() {
  told_all_at_ms_ = now().monotonic_ms;
  host_told_.reset();
  for (auto& [id, object] : table_.vms) object.told.clear();
  for (auto& [id, object] : table_.volumes) object.told.clear();
  for (auto& [id, object] : table_.images) object.told.clear();
  for (auto& [id, object] : table_.networks) object.told.clear();
  for (auto& [id, object] : table_.pools) object.told.clear();
}

void Core::tell_gone(const Table::Gone& gone) {
  if (!connected_ || gone.empty()) return;
  v1::FromHost message;
  for (const auto& [id, left_epoch] : gone) {
    v1::Observation& observation = *message.add_observations();
    observation.set_id(id);
    observation.set_absent(true);
    observation.set_left_epoch(left_epoch);
  }
  send(std::move(message));
}

// Of guests that came or went nothing is told by the host that they only pass.
void Core::tell_use(const port::Counters& counters) {
  v1::FromHost message;
  for (v1::Sample& sample : metering_.step(options_.host_id, counters, now().monotonic_ms)) {
    const auto vm = table_.vms.find(sample.id());
    const bool is_own = vm != table_.vms.end() && role_of(vm->second.wanted, options_.host_id) == VmRole::resident;
    if (sample.has_host() || is_own) *message.add_samples() = std::move(sample);
  }
  if (connected_) send(std::move(message));
}

template <class ObjectOf, class Status>
void Core::add_if_new(v1::FromHost& message, const std::string& id, ObjectOf& object, const Status& status) {
  std::string wire = status.SerializeAsString();
  if (wire == object.told) return;
  object.told = std::move(wire);
  v1::Observation& observation = *message.add_observations();
  observation.set_id(id);
  set_status(observation, status);
}

void Core::report() {
  if (!connected_) return;
  tell_gone(std::exchange(gone_, {}));
  v1::FromHost message;
  if (host_probed_ && (!host_told_ || !tells_the_same(*host_told_, host_status_))) {
    host_told_ = host_status_;
    *message.mutable_host() = host_status_;
  }
  for (auto& [id, pool] : table_.pools) {
    if (pool.memory.told) add_if_new(message, id, pool, pool_status(id, pool));
  }
  for (auto& [id, network] : table_.networks) {
    add_if_new(message, id, network, network_status(network_input(network), options_.host_id));
  }
  for (auto& [id, image] : table_.images) {
    if (image.look_only) continue;
    const ImageInput input = image_input(image);
    const auto status = image_status(input, plan_image(input), options_.host_id);
    if (status) add_if_new(message, id, image, *status);
  }
  for (auto& [id, volume] : table_.volumes) {
    if (volume.look_only) continue;
    const VolumeInput input = volume_input(volume);
    const auto status = volume_status(input, plan_volume(input), options_.host_id);
    if (status) add_if_new(message, id, volume, *status);
  }
  for (auto& [id, vm] : table_.vms) {
    if (!guests_known_) break;
    const port::GuestObservation guest = guest_of(id);
    const VmNeeds needs = needs_of(vm);
    const VmInput input = vm_input(vm, guest, needs);
    const auto status = vm_status(input, plan_vm(input), options_.host_id);
    if (status) add_if_new(message, id, vm, *status);
  }
  if (message.has_host() || message.observations_size() > 0) send(std::move(message));
}

}  // namespace gantry::host
