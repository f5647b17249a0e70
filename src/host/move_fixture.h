// For tests of a guest that goes to another host while it runs, as the agents of both hosts see it.
#pragma once

#include <string>

#include "host/move_machine.h"
#include "host/test_fixture.h"

namespace gantry::host {

using Phase = v1::VmMoveStatus;

// The pool is shared; the other host is "host-2".
class CoreMoveTest : public CoreWithVmTest {
 protected:
  CoreMoveTest() {
    world.host_facts.set_address("10.0.0.1");
    pool.mutable_spec()->clear_host_id();
    pool.mutable_spec()->set_shared(true);
    vm.mutable_spec()->set_memory_mib(256);
    vm.mutable_placement()->set_last_epoch(1);
    core.reset();
    start_agent();
  }

  void assign(Milliseconds for_ms = 1'000) {
    vm.mutable_meta()->set_revision(++revision);
    for (v1::Keeper* each : {image.mutable_keeper(), volume.mutable_keeper()}) {
      each->set_host_id(keeper);
      each->set_epoch(1);
    }
    v1::ToHost message;
    *message.add_assignments()->mutable_pool() = pool;
    *message.add_assignments()->mutable_network() = network;
    *message.add_assignments()->mutable_image() = image;
    *message.add_assignments()->mutable_volume() = volume;
    for (const int kept : {2, 3}) message.mutable_assignments(kept)->set_look_only(keeper != "host-1");
    *message.add_assignments()->mutable_vm() = vm;
    message.set_complete(true);
    link.receive(message);
    executor.run_for(for_ms);
  }
  v1::VmMove& begin_move(const std::string& to) {
    v1::VmMove& move = *vm.mutable_placement()->mutable_move();
    move.set_task_id("task-7");
    move.set_host_id(to);
    move.set_epoch(2);
    vm.mutable_placement()->set_last_epoch(2);
    return move;
  }
  v1::VmMove& move() { return *vm.mutable_placement()->mutable_move(); }
  void target_says(Phase::Phase phase) {
    move().mutable_target()->set_task_id("task-7");
    move().mutable_target()->set_phase(phase);
    if (phase == Phase::PREPARED) move().mutable_target()->mutable_address()->set_host("10.0.0.2");
    take_status();
    assign();
  }
  // As the source, until its guest was sent.
  void send_away() {
    assign();
    begin_move("host-2");
    target_says(Phase::PREPARED);
  }
  // As the target.
  void come_here() {
    vm.mutable_placement()->set_host_id("host-2");
    vm.mutable_status()->set_boot_id("task-1");
    vm.mutable_status()->set_booted_memory_mib(128);
    vm.mutable_status()->mutable_started_at()->set_seconds(77);
    keeper = "host-2";
    world.volumes["vol-1"] = 100;
    world.images.insert("img-1");
    begin_move("host-1");
    assign(5'000);
  }
  void everything_comes() {
    world.change("vm-1", [](auto& guest) { guest.state = GuestState::received; });
    executor.run_for(100);
  }
  // Nothing else is under way any more.
  void placed_here() {
    vm.mutable_placement()->clear_move();
    vm.mutable_placement()->set_moved_by("task-7");
    vm.mutable_placement()->set_host_id("host-1");
    vm.mutable_placement()->set_epoch(2);
    assign();
  }
  // Given up: what this host has of it is to be taken away.
  v1::LeftHost& leave() {
    vm.mutable_placement()->clear_move();
    v1::LeftHost& left = *vm.mutable_placement()->add_left_hosts();
    left.set_host_id("host-1");
    left.set_epoch(3);
    return left;
  }
  const v1::VmMoveStatus& told_move() { return told_vm().move(); }
  // The leave of which nothing is left; 0: nothing was told.
  std::uint64_t told_absent() { return link.told["vm-1"].absent() ? link.told["vm-1"].left_epoch() : 0; }

  std::uint64_t revision = 0;
  std::string keeper = "host-1";
};

}  // namespace gantry::host
