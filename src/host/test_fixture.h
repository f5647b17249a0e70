// For tests of this room: an agent over the fakes that can be killed, and the records that it is assigned.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "host/fake_ports.h"

namespace gantry::host {

// A pool with a volume that has no image. Only records that have an id are assigned.
class CoreTest : public testing::Test {
 protected:
  CoreTest() {
    pool.mutable_meta()->set_id("pool-1");
    pool.mutable_spec()->set_host_id("host-1");
    pool.mutable_spec()->set_path("/pool");
    volume.mutable_meta()->set_id("vol-1");
    volume.mutable_meta()->set_generation(1);
    volume.mutable_spec()->set_pool("pool-1");
    volume.mutable_spec()->set_capacity_bytes(100);
    start_agent();
  }

  void start_agent() {
    core = std::make_unique<HostCore>(
        Ports{.executor = executor,
              .link = link,
              .hypervisor = world,
              .mover = world,
              .copier = world,
              .facts = world,
              .storage = world,
              .network = world,
              .sentinel = world,
              .meters = world},
        Options{.host_id = "host-1", .host_name = "alpha", .incarnation = ++incarnation, .recipes = {"debian-12"}});
    core->start();
    link.connection(true);
  }
  void assign_all() {
    v1::ToHost message;
    if (!vm.meta().id().empty()) {
      v1::Assignment& assignment = *message.add_assignments();
      *assignment.mutable_vm() = vm;
      assignment.mutable_groups()->Assign(groups.begin(), groups.end());
    }
    if (!volume.meta().id().empty()) *message.add_assignments()->mutable_volume() = volume;
    if (!image.meta().id().empty()) *message.add_assignments()->mutable_image() = image;
    if (!network.meta().id().empty()) {
      v1::Assignment& assignment = *message.add_assignments();
      *assignment.mutable_network() = network;
      assignment.mutable_overlay_entries()->Assign(entries.begin(), entries.end());
    }
    if (!pool.meta().id().empty()) *message.add_assignments()->mutable_pool() = pool;
    message.set_complete(true);
    link.receive(message);
  }
  void assign_and_run(Milliseconds for_ms = 1'000) {
    assign_all();
    executor.run_for(for_ms);
  }
  // What the host told last is in the records; but for the pool's.
  void take_status() {
    if (link.told.contains("vm-1")) *vm.mutable_status() = link.told["vm-1"].vm();
    if (link.told.contains("vol-1")) *volume.mutable_status() = link.told["vol-1"].volume();
    if (link.told.contains("img-1")) *image.mutable_status() = link.told["img-1"].image();
  }
  void crash_and_return() {
    take_status();
    core.reset();
    start_agent();
    assign_all();
  }
  const v1::PoolStatus& told_pool() { return link.told["pool-1"].pool(); }
  const v1::VolumeStatus& told_volume() { return link.told["vol-1"].volume(); }
  const v1::ImageStatus& told_image() { return link.told["img-1"].image(); }
  const v1::VmStatus& told_vm() { return link.told["vm-1"].vm(); }

  FakeExecutor executor;
  FakeWorld world{executor};
  FakeLink link;
  v1::Pool pool;
  v1::Network network;
  std::vector<v1::OverlayEntry> entries;
  std::vector<v1::AssignedGroup> groups;
  v1::Image image;
  v1::Volume volume;
  v1::Vm vm;
  std::uint64_t incarnation = 0;
  std::unique_ptr<HostCore> core;
};

// One VM with a disk made from an image and one NIC.
class CoreWithVmTest : public CoreTest {
 protected:
  using GuestState = port::GuestObservation::State;

  CoreWithVmTest() {
    network.mutable_meta()->set_id("net-1");
    image.mutable_meta()->set_id("img-1");
    image.mutable_spec()->set_pool("pool-1");
    volume.mutable_spec()->set_image("img-1");
    vm.mutable_meta()->set_id("vm-1");
    vm.mutable_meta()->set_name("web");
    vm.mutable_meta()->set_generation(1);
    vm.mutable_placement()->set_host_id("host-1");
    vm.mutable_placement()->set_epoch(1);
    vm.mutable_spec()->set_lease_pool("pool-1");
    vm.mutable_spec()->set_boot_id("task-1");
    vm.mutable_spec()->set_image("img-1");
    vm.mutable_spec()->set_stop_timeout_seconds(5);
    vm.mutable_spec()->add_disks()->set_volume("vol-1");
    vm.mutable_spec()->add_nics()->set_network("net-1");
  }

  // A change of the VM as the manager makes it, and what the host told last is in the record.
  void change_vm(const std::function<void(v1::VmSpec&)>& edit) {
    take_status();
    edit(*vm.mutable_spec());
    vm.mutable_meta()->set_generation(vm.meta().generation() + 1);
    assign_all();
  }
  // The VM and its disk are to be deleted.
  void delete_both() {
    vm.mutable_meta()->mutable_deletion()->set_task_id("task-9");
    volume.mutable_meta()->mutable_deletion()->set_task_id("task-9");
  }
  GuestState guest() { return world.guests["vm-1"].state; }
};

}  // namespace gantry::host
