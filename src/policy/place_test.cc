#include "policy/place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.h"

namespace gantry::policy {
namespace {

PlaceHost host(const std::string& id, std::uint64_t memory_mib, std::uint64_t reserved_mib = 0) {
  return {.id = id,
          .name = "name-" + id,
          .connected = true,
          .memory_mib = memory_mib,
          .reserved_mib = reserved_mib,
          .cpus = 8,
          .accelerator = "tcg"};
}

TEST(Place, PrefersTheHostWithMoreMemoryLeft) {
  const std::vector<PlaceHost> hosts = {host("a", 8192, 6000), host("b", 8192)};
  const v1::PlacementDecision decision = place(hosts, {.memory_mib = 1024});
  EXPECT_EQ(decision.host_id(), "b");
  ASSERT_EQ(decision.candidates_size(), 2);
  EXPECT_TRUE(decision.candidates(0).fits());
  EXPECT_GT(decision.candidates(1).score(), decision.candidates(0).score());
}

TEST(Place, PrefersHardwareVirtualization) {
  std::vector<PlaceHost> hosts = {host("a", 65536), host("b", 8192)};
  hosts[1].accelerator = "kvm";
  EXPECT_EQ(place(hosts, {.memory_mib = 1024}).host_id(), "b");
}

TEST(Place, SaysWhyEachHostDoesNotFit) {
  std::vector<PlaceHost> hosts = {host("a", 8192), host("b", 8192), host("c", 8192), host("d", 1024), host("e", 8192)};
  hosts[0].connected = false;
  hosts[1].cordoned = true;
  hosts[2].accelerator.clear();
  const v1::PlacementDecision decision =
      place(hosts, {.memory_mib = 1024, .reach = {{.reason = "pool default is not on it", .host_ids = {"d"}}}});
  EXPECT_EQ(decision.host_id(), "");
  EXPECT_EQ(decision.reason(), "no host fits");
  EXPECT_EQ(decision.candidates(0).reason(), "it is not connected");
  EXPECT_EQ(decision.candidates(1).reason(), "it is cordoned");
  EXPECT_EQ(decision.candidates(2).reason(), "it cannot run guests");
  EXPECT_THAT(decision.candidates(3).reason(), testing::HasSubstr("768 MiB of 1024 MiB left"));
  EXPECT_EQ(decision.candidates(4).reason(), "pool default is not on it");
}

TEST(Place, KeepsToTheHostAskedFor) {
  const std::vector<PlaceHost> hosts = {host("a", 65536), host("b", 8192)};
  EXPECT_EQ(place(hosts, {.memory_mib = 1024, .host_id = "b"}).host_id(), "b");
  EXPECT_EQ(place(hosts, {.memory_mib = 1024, .host_id = "z"}).host_id(), "");
}

TEST(Place, NeverPromisesMoreMemoryThanThereIs) {
  Rng rng(7);
  std::vector<PlaceHost> hosts;
  hosts.reserve(5);
  for (int i = 0; i < 5; ++i) hosts.push_back(host(std::string(1, static_cast<char>('a' + i)), 512 + rng.below(16384)));
  int placed = 0;
  for (int i = 0; i < 500; ++i) {
    const std::uint64_t memory_mib = 16 + rng.below(2048);
    const v1::PlacementDecision decision = place(hosts, {.memory_mib = memory_mib});
    for (PlaceHost& candidate : hosts) {
      if (candidate.id != decision.host_id()) continue;
      candidate.reserved_mib += memory_mib;
      candidate.guests += 1;
      ++placed;
      ASSERT_LE(candidate.reserved_mib + host_reserve_mib(candidate.memory_mib), candidate.memory_mib);
    }
  }
  EXPECT_GT(placed, 5);
}

TEST(Place, AHostAlreadyOvercommittedHasNoRoom) {
  EXPECT_NE(memory_obstacle(host("a", 1024, 4096), 1), "");
  EXPECT_EQ(memory_obstacle(host("a", 1024, 768), 0), "");
}

}  // namespace
}  // namespace gantry::policy
