// What the agent tells of what it and its guests used.
#include "host/move_fixture.h"

namespace gantry::host {
namespace {

class CoreUseTest : public CoreMoveTest {
 protected:
  CoreUseTest() { world.counters.guests = {{.vm_id = "vm-1", .process = "1", .cpu_seconds = 10}}; }
  // The samples of the last message that has any, by their ids.
  std::map<std::string, v1::Sample> told_use() const {
    std::map<std::string, v1::Sample> told;
    for (const v1::FromHost& message : link.sent) {
      if (message.samples().empty()) continue;
      told.clear();
      for (const v1::Sample& sample : message.samples()) told[sample.id()] = sample;
    }
    return told;
  }
};

TEST_F(CoreUseTest, IsToldEachTenSeconds) {
  assign();
  executor.run_for(10'000);
  world.counters.guests[0].cpu_seconds = 15;
  executor.run_for(10'000);
  const auto told = told_use();
  EXPECT_DOUBLE_EQ(told.at("vm-1").vm().cpu_percent(), 50);
  EXPECT_TRUE(told.at("host-1").has_host());
}

TEST_F(CoreUseTest, OfGuestsThatAreNotItsOwnNothingIsTold) {
  world.counters.guests.push_back({.vm_id = "vm-9", .process = "2", .cpu_seconds = 1});
  come_here();
  executor.run_for(30'000);
  EXPECT_EQ(told_use().size(), 1U) << "of itself alone";
}

TEST_F(CoreUseTest, WithoutConnectionNothingIsMeasured) {
  assign();
  executor.run_for(20'000);
  link.connection(false);
  link.sent.clear();
  executor.run_for(30'000);
  EXPECT_TRUE(told_use().empty());
  world.counters.guests[0].cpu_seconds = 60;
  link.connection(true);
  executor.run_for(10'000);
  EXPECT_GT(told_use().at("vm-1").vm().cpu_percent(), 0);
  EXPECT_LE(told_use().at("vm-1").vm().cpu_percent(), 500) << "over all the time since the look before";
}

}  // namespace
}  // namespace gantry::host
