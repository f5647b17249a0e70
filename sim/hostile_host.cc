#include "sim/hostile_host.h"

#include <array>
#include <limits>

namespace gantry::sim {
namespace {

constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

}  // namespace

HostileHost::HostileHost(Stage& stage, std::uint64_t seed, Switchboard& board)
    : stage_(stage),
      rng_(seed),
      board_(board),
      joiner_(stage, {.name = kName, .pool_path = "/beta", .taken_subnet = "10.66.0.0/16"},
              [this](const std::string& host_id) { joined(host_id); }) {}

void HostileHost::joined(const std::string& host_id) {
  host_id_ = host_id;
  board_.add_talker(host_id_);
  lie();
  if (client_ != nullptr) leave(*client_);
}

void HostileHost::leave(Client& client) {
  client_ = &client;
  const auto host = stage_.records.hosts.find(host_id_);
  if (host != stage_.records.hosts.end()) client.take_leave(host->second.meta().name());
}

// ---- lying

template <class Record>
std::string HostileHost::id_in(const std::map<std::string, Record>& records) {
  if (records.empty()) return "nothing";
  auto record = records.begin();
  std::advance(record, static_cast<std::ptrdiff_t>(rng_.below(records.size())));
  return record->first;
}

std::string HostileHost::some_id() {
  switch (rng_.below(8)) {
    case 0: return id_in(stage_.records.volumes);
    case 1: return id_in(stage_.records.images);
    case 2: return id_in(stage_.records.pools);
    case 3: return id_in(stage_.records.networks);
    case 4: return id_in(stage_.records.tasks);
    case 5: return rng_.chance(1, 2) ? host_id_ : "vm-" + std::to_string(rng_.below(1'000));
    default: return id_in(stage_.records.vms);
  }
}

void HostileHost::fill_mark(v1::ObservationMark& mark) {
  mark.set_incarnation(rng_.chance(1, 3) ? kHuge : rng_.below(5));
  mark.set_sequence(rng_.chance(1, 3) ? kHuge : rng_.below(1'000));
}

void HostileHost::fill_problem(v1::Problem& problem) {
  problem.set_summary(std::string(rng_.below(100), '\x1b'));
  problem.mutable_since()->set_seconds(static_cast<std::int64_t>(rng_.next()));
}

v1::Observation HostileHost::observation() {
  v1::Observation said;
  said.set_id(some_id());
  switch (rng_.below(6)) {
    case 0: said.set_absent(true); break;
    case 1: {
      v1::VmStatus& vm = *said.mutable_vm();
      vm.set_state(static_cast<v1::VmStatus::State>(rng_.below(v1::VmStatus::State_ARRAYSIZE)));
      vm.set_observed_generation(kHuge);
      vm.set_boot_id(id_in(stage_.records.tasks));
      vm.set_failed_operation_id(id_in(stage_.records.tasks));
      fill_problem(*vm.mutable_problem());
      break;
    }
    case 2: {
      v1::VolumeStatus& volume = *said.mutable_volume();
      volume.set_state(static_cast<v1::VolumeStatus::State>(rng_.below(v1::VolumeStatus::State_ARRAYSIZE)));
      volume.set_capacity_bytes(rng_.next());
      volume.set_failed_operation_id(id_in(stage_.records.tasks));
      break;
    }
    case 3: {
      v1::ImageStatus& image = *said.mutable_image();
      image.set_state(static_cast<v1::ImageStatus::State>(rng_.below(v1::ImageStatus::State_ARRAYSIZE)));
      image.set_virtual_size_bytes(rng_.next());
      break;
    }
    case 4: {
      v1::NetworkStatus& network = *said.mutable_network();
      network.set_state(static_cast<v1::NetworkStatus::State>(rng_.below(v1::NetworkStatus::State_ARRAYSIZE)));
      network.set_host_id(host_id_);
      break;
    }
    default: {
      v1::PoolStatus& pool = *said.mutable_pool();
      pool.set_state(static_cast<v1::PoolStatus::State>(rng_.below(v1::PoolStatus::State_ARRAYSIZE)));
      pool.set_capacity_bytes(rng_.next());
      fill_problem(*pool.mutable_problem());
    }
  }
  return said;
}

void HostileHost::lie_about_itself(v1::HostStatus& status) {
  status.set_cpus(static_cast<std::uint32_t>(rng_.next()));
  status.set_memory_bytes(rng_.next());
  status.set_accelerator("kvm");
  status.add_cpu_models("Nehalem,enforce=off");
  status.set_address("198.18.0.1 -j ACCEPT");
  fill_problem(*status.add_problems());
  status.set_state(v1::HostStatus::LOST);
  status.mutable_last_seen_at()->set_seconds(static_cast<std::int64_t>(rng_.next()));
}

v1::Sample HostileHost::sample() {
  constexpr std::array<double, 4> kImpossible{std::numeric_limits<double>::quiet_NaN(), -1, 1e300,
                                              std::numeric_limits<double>::infinity()};
  const double value = kImpossible.at(rng_.below(kImpossible.size()));
  v1::Sample said;
  said.set_id(rng_.chance(1, 4) ? host_id_ : some_id());
  if (rng_.chance(1, 3)) {
    said.mutable_host()->set_cpu_percent(value);
  } else {
    said.mutable_vm()->set_cpu_percent(value);
  }
  return said;
}

void HostileHost::lie() {
  v1::FromHost message;
  // The link sees to that.
  message.set_host_id(host_id_);
  message.set_host_name("alpha");
  message.set_hello(rng_.chance(1, 10));
  fill_mark(*message.mutable_mark());
  if (rng_.chance(1, 3)) lie_about_itself(*message.mutable_host());
  for (std::uint64_t i = rng_.below(20); i > 0; --i) *message.add_observations() = observation();
  for (std::uint64_t i = rng_.below(5); i > 0; --i) *message.add_samples() = sample();
  stage_.trace.note("hostile", "lies about " + std::to_string(message.observations_size()) + " records");
  board_.say(message);
  stage_.scheduler.at(50 + static_cast<Milliseconds>(rng_.below(1'000)), [this] { lie(); });
}

}  // namespace gantry::sim
