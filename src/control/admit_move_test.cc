// Which moves are accepted, what they take, and why others are refused.
#include <gmock/gmock.h>

#include "control/move_world.h"
#include "control/vm_hosts.h"

namespace gantry::control {
namespace {

using testing::Contains;
using testing::HasSubstr;

TEST(AdmitMove, IsRefusedWithItsReason) {
  MoveWorld world;
  EXPECT_EQ(world.why_not(MoveWorld::move_request(world.source)).substr(0, 13), "already_there");
  EXPECT_THAT(world.why_not(MoveWorld::move_request("nobody")), HasSubstr("not_found"));
  const auto expect = [&](const std::string& reason, const std::function<void(v1::HostStatus&)>& change) {
    const v1::HostStatus before = world.fake(world.target).facts;
    world.change_facts(world.target, change);
    EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("no_host_fits"));
    EXPECT_THAT(world.why_not(MoveWorld::move_request(world.target)), HasSubstr(reason));
    world.change_facts(world.target, [&](v1::HostStatus& facts) { facts = before; });
  };
  expect("its guests run by kvm, not tcg", [](auto& facts) { facts.set_accelerator("kvm"); });
  expect("its processors are others (Zen) than the guest has (unknown)",
         [](auto& facts) { facts.set_cpu_model("Zen"); });
  expect("asked for", [](auto& facts) { facts.set_memory_bytes(1ULL << 30U); });
  for (const std::string& id : {world.source, world.target}) {
    world.change_facts(id, [](auto& facts) { facts.set_qemu_version("10.0.2 (Debian)"); });
  }
  expect("its QEMU (9.1.0) is older than", [](auto& facts) { facts.set_qemu_version("9.1.0"); });
  v1::UpdateHostRequest cordon;
  cordon.set_id(world.target);
  cordon.set_cordoned(true);
  world.accept("UpdateHost", cordon);
  EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("it is cordoned"));
  cordon.set_cordoned(false);
  cordon.mutable_update_mask()->add_paths("cordoned");
  world.accept("UpdateHost", cordon);
  // Nothing was in the way but that.
  world.accept("MoveVm", MoveWorld::move_request(), {.actor = "a", .dry_run = true});
  EXPECT_FALSE(world.placement().has_move());
  world.fake(world.target).disconnect();
  world.executor.run_for(60'000);
  EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("it is not connected"));
}

TEST(AdmitMove, ByPostcopyItGoesOnlyWhereThatCanBe) {
  MoveWorld world;
  world.change_facts(world.target, [](auto& facts) { facts.set_postcopy_problem("its kernel has no userfaultfd(2)"); });
  v1::MoveVmRequest request = MoveWorld::move_request(world.target);
  request.set_postcopy(true);
  EXPECT_THAT(world.why_not(request), HasSubstr("by postcopy: its kernel has no userfaultfd(2)"));
  world.change_facts(world.target, [](auto& facts) { facts.clear_postcopy_problem(); });
  request.set_connections(2);
  EXPECT_EQ(world.why_not(request).substr(0, 23), "postcopy_one_connection");
  request.set_connections(1);
  const auto planned = world.accept("MoveVm", request, {.actor = "a", .dry_run = true});
  EXPECT_THAT(planned.plan().ShortDebugString(), HasSubstr("is lost as by a loss of power"));
  world.accept("MoveVm", request);
  EXPECT_TRUE(world.move().postcopy());
}

TEST(AdmitMove, SeveralConnectionsAreToldBothHosts) {
  MoveWorld world;
  v1::MoveVmRequest request = MoveWorld::move_request(world.target);
  request.set_connections(4);
  const auto accepted = world.accept("MoveVm", request);
  EXPECT_THAT(accepted.plan().ShortDebugString(), HasSubstr("over 4 connections"));
  world.executor.run_for(1'000);
  for (const std::string& id : {world.source, world.target}) {
    EXPECT_EQ(world.last_sent(id).placement().move().connections(), 4U);
  }
}

TEST(AdmitMove, BothHostsHaveItsRoomAndItsPorts) {
  MoveWorld world;
  v1::CreateVmRequest request = MoveWorld::vm_there("other");
  request.mutable_spec()->set_memory_mib(5 * 1024);
  const auto set_forward = [&](v1::CreateVmRequest& vm) {
    v1::PortForward& forward = *vm.mutable_spec()->mutable_nics(0)->add_port_forwards();
    forward.set_host_port(8'080);
    forward.set_guest_port(80);
  };
  set_forward(request);
  request.mutable_spec()->set_host(world.target);
  ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  world.accept("MoveVm", MoveWorld::move_request());
  world.executor.run_for(1'000);
  v1::UpdateVmRequest update;
  update.set_id("web");
  update.set_memory_mib(4 * 1024);
  EXPECT_EQ(world.refused("UpdateVm", update), "no_host_fits") << "where it goes is no room for that";
  v1::UpdateHostRequest maintenance;
  maintenance.set_id(world.target);
  maintenance.set_maintenance(true);
  const v1::Accepted planned = world.accept("UpdateHost", maintenance, {.actor = "admin", .dry_run = true});
  EXPECT_THAT(planned.plan().steps(), Contains(HasSubstr("which moves VM web")));
  // One that is to be forwarded from the same port cannot follow.
  v1::CreateVmRequest third = MoveWorld::vm_there("third");
  set_forward(third);
  third.mutable_spec()->set_host(world.target);
  EXPECT_EQ(world.refused("CreateVm", third), "port_in_use");
  const v1::Accepted made = world.accept("CreateVm", [&] {
    third.mutable_spec()->clear_host();
    return third;
  }());
  ASSERT_EQ(world.ended(made).state(), v1::Task::SUCCEEDED);
  ASSERT_EQ(world.vm("third").placement().host_id(), world.source);
  v1::MoveVmRequest follow;
  follow.set_id("third");
  EXPECT_THAT(world.why_not(follow), HasSubstr("its port 8080 is forwarded to another guest"));
}

TEST(AdmitMove, OnlyAGuestThatRunsIsMoved) {
  MoveWorld world;
  begin_move(world);
  EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("vm_moving"));
  world.tell(world.source, v1::VmMoveStatus::FAILED);
  world.fake(world.source).moves.clear();
  world.executor.run_for(5'000);
  ASSERT_EQ(world.ended(world.accept("PauseVm", World::by_id("web"))).state(), v1::Task::SUCCEEDED);
  EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("vm_paused"));
  ASSERT_EQ(world.ended(world.accept("StopVm", World::stop_request())).state(), v1::Task::SUCCEEDED);
  EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("vm_not_running"));
  world.fake(world.source).asleep = true;
  world.accept("StartVm", World::by_id("web"));
  EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("it is being started"));
  world.fake(world.source).asleep = false;
  world.executor.run_for(60'000);
  world.fake(world.source).disconnect();
  world.executor.run_for(60'000);
  EXPECT_THAT(world.why_not(MoveWorld::move_request()), HasSubstr("where it runs, is not connected"));
}

}  // namespace
}  // namespace gantry::control
