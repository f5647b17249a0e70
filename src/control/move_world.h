// A cluster to move a VM in, for the tests of moves.
#pragma once

#include <gtest/gtest.h>

#include "control/test_world.h"

namespace gantry::control {

inline const std::string kSecret(64, 'a');

// The VM "web" runs on one of two hosts that share a pool, and an overlay.
struct MoveWorld : World {
  std::string beta = join("beta");
  std::string source;
  std::string target;

  MoveWorld() {
    give_address(kHostId, "192.0.2.1");
    give_address(beta, "192.0.2.2");
    v1::CreatePoolRequest pool;
    pool.set_name("shared");
    pool.mutable_spec()->set_shared(true);
    pool.mutable_spec()->set_path("/mnt/shared");
    EXPECT_EQ(ended(accept("CreatePool", pool)).state(), v1::Task::SUCCEEDED);
    v1::CreateNetworkRequest network;
    network.set_name("wide");
    network.mutable_spec()->set_kind(v1::NetworkSpec::OVERLAY);
    EXPECT_EQ(ended(accept("CreateNetwork", network)).state(), v1::Task::SUCCEEDED);
    executor.run_for(60'000);
    EXPECT_EQ(ended(accept("CreateVm", vm_there("web"))).state(), v1::Task::SUCCEEDED);
    source = vm().placement().host_id();
    target = source == kHostId ? beta : kHostId;
  }

  static v1::CreateVmRequest vm_there(const std::string& name) {
    v1::CreateVmRequest request;
    request.set_name(name);
    request.mutable_spec()->set_memory_mib(1024);
    v1::NewVolume& disk = *request.mutable_spec()->add_disks()->mutable_create();
    disk.set_pool("shared");
    disk.set_capacity_bytes(1ULL << 30U);
    request.mutable_spec()->add_nics()->set_network("wide");
    return request;
  }
  static v1::MoveVmRequest move_request(const std::string& host = "") {
    v1::MoveVmRequest request;
    request.set_id("web");
    request.set_host(host);
    return request;
  }

  void give_address(const std::string& id, const std::string& address) {
    fake(id).address = address;
    fake(id).connect();
    executor.run_for(1'000);
  }
  FakeHost& fake(const std::string& id) { return id == kHostId ? host : *joined.at(id); }
  [[nodiscard]] const v1::VmPlacement& placement() const { return vm().placement(); }
  [[nodiscard]] const v1::VmMove& move() const { return placement().move(); }
  v1::VmMoveStatus word(v1::VmMoveStatus::Phase phase) const {
    v1::VmMoveStatus status;
    status.set_task_id(move().task_id());
    status.set_phase(phase);
    return status;
  }
  void tell(const std::string& host_id, const v1::VmMoveStatus& status) {
    fake(host_id).tell_of_move(vm(), status);
    executor.run_for(1'000);
  }
  void tell(const std::string& host_id, v1::VmMoveStatus::Phase phase) { tell(host_id, word(phase)); }
  void prepare() {
    v1::VmMoveStatus status = word(v1::VmMoveStatus::PREPARED);
    status.mutable_address()->set_host("192.0.2.7");
    status.mutable_address()->set_port(49'152);
    status.mutable_address()->set_secret(kSecret);
    tell(target, status);
  }
  // The last record of the VM that the host was sent.
  v1::Vm last_sent(const std::string& host_id) {
    v1::Vm last;
    for (const v1::ToHost& message : sent[host_id]) {
      for (const v1::Assignment& assignment : message.assignments()) {
        if (assignment.vm().meta().id() == vm().meta().id()) last = assignment.vm();
      }
    }
    return last;
  }
  [[nodiscard]] std::uint64_t reserved(const std::string& host_id) const { return core->view().reserved_mib(host_id); }
  std::string why_not(const v1::MoveVmRequest& request) {
    const auto answer = call("MoveVm", request);
    if (answer) return "it is accepted";
    return answer.error().word() + ": " + answer.error().cause;
  }
  void change_facts(const std::string& id, const std::function<void(v1::HostStatus&)>& change) {
    change(fake(id).facts);
    fake(id).connect();
    executor.run_for(1'000);
  }
};

// Moves "web" until the source was told that the target waits.
inline v1::Accepted begin_move(MoveWorld& world) {
  v1::Accepted accepted = world.accept("MoveVm", MoveWorld::move_request());
  world.executor.run_for(1'000);
  world.prepare();
  return accepted;
}

}  // namespace gantry::control
