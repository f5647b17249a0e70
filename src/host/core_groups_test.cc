// What changes of a guest's network while it runs: security groups, and where an overlay's other guests are.
#include "host/test_fixture.h"

namespace gantry::host {
namespace {

class CoreGroupsTest : public CoreWithVmTest {
 protected:
  void give_group(std::uint32_t port) {
    vm.mutable_spec()->mutable_nics(0)->clear_security_groups();
    vm.mutable_spec()->mutable_nics(0)->add_security_groups("sg-1");
    groups.assign(1, v1::AssignedGroup());
    groups[0].mutable_group()->mutable_meta()->set_id("sg-1");
    groups[0].mutable_group()->mutable_spec()->add_rules()->set_port(port);
  }
  [[nodiscard]] std::uint32_t guarded_port() {
    const auto& request = world.guarded["vm-1/0"];
    return request.groups.empty() ? 0 : request.groups[0].group().spec().rules(0).port();
  }
  static v1::OverlayEntry entry(const std::string& address) {
    v1::OverlayEntry one;
    one.set_mac("52:54:00:00:00:09");
    one.set_address(address);
    return one;
  }
};

TEST_F(CoreGroupsTest, ABootHasThemFromAttaching) {
  give_group(22);
  assign_and_run();
  EXPECT_EQ(guest(), GuestState::running);
  EXPECT_EQ(world.count("set_groups"), 0);
}

TEST_F(CoreGroupsTest, OtherRulesFollowWhileTheGuestRuns) {
  give_group(22);
  assign_and_run();
  groups[0].mutable_group()->mutable_spec()->mutable_rules(0)->set_port(80);
  assign_and_run();
  EXPECT_EQ(guarded_port(), 80U);
  EXPECT_EQ(world.count("set_groups"), 1);
  assign_and_run();
  EXPECT_EQ(world.count("set_groups"), 1);
  // Another group for the NIC is a change of the VM.
  change_vm([](v1::VmSpec& spec) { spec.mutable_nics(0)->clear_security_groups(); });
  executor.run_for(1'000);
  EXPECT_TRUE(world.guarded["vm-1/0"].nic.security_groups().empty());
  EXPECT_EQ(guest(), GuestState::running);
}

TEST_F(CoreGroupsTest, AnAgentThatComesBackPutsThemRight) {
  give_group(22);
  assign_and_run();
  crash_and_return();
  executor.run_for(1'000);
  EXPECT_EQ(guarded_port(), 22U);
}

TEST_F(CoreGroupsTest, TheyAreTriedUntilTheyAreInForce) {
  give_group(22);
  assign_and_run();
  for (int i = 0; i < 3; ++i) world.failures.emplace("set_groups", Error{ErrorCode::unsupported, "no", "", ""});
  groups[0].mutable_group()->mutable_spec()->mutable_rules(0)->set_port(80);
  assign_and_run(60'000);
  EXPECT_EQ(guarded_port(), 80U);
  EXPECT_EQ(world.count("set_groups"), 4);
}

TEST_F(CoreGroupsTest, AnOlderMessageChangesNothing) {
  give_group(22);
  assign_and_run();
  v1::ToHost message;
  const auto send = [&](std::uint64_t sequence, std::uint32_t port) {
    message.Clear();
    message.set_sequence(sequence);
    *message.add_assignments()->mutable_vm() = vm;
    groups[0].mutable_group()->mutable_spec()->mutable_rules(0)->set_port(port);
    *message.mutable_assignments(0)->add_groups() = groups[0];
    link.receive(message);
    executor.run_for(1'000);
  };
  send(8, 80);
  send(7, 443);
  EXPECT_EQ(guarded_port(), 80U);
}

TEST_F(CoreGroupsTest, AnOverlayIsToldWhereOthersAre) {
  network.mutable_spec()->set_kind(v1::NetworkSpec::OVERLAY);
  entries = {entry("192.0.2.1")};
  assign_and_run();
  ASSERT_EQ(world.overlays["net-1"].size(), 1U);
  entries = {entry("192.0.2.7")};
  world.failures.emplace("set_overlay", Error{ErrorCode::unavailable, "not now", "", ""});
  assign_and_run(10'000);
  EXPECT_EQ(world.overlays["net-1"][0].address(), "192.0.2.7");
  EXPECT_EQ(world.count("set_overlay"), 3);
  EXPECT_EQ(world.count("ensure_network"), 1);
}

TEST_F(CoreGroupsTest, AVlanThatCannotBeHadIsTriedAgain) {
  network.mutable_spec()->set_kind(v1::NetworkSpec::VLAN);
  world.failures.emplace("ensure_network", Error{ErrorCode::not_found, "no uplink", "", ""});
  assign_and_run(100);
  EXPECT_EQ(link.told["net-1"].network().state(), v1::NetworkStatus::FAILED);
  executor.run_for(60'000);
  EXPECT_EQ(link.told["net-1"].network().state(), v1::NetworkStatus::READY);
}

}  // namespace
}  // namespace gantry::host
