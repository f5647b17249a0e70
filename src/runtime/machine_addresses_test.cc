#include "runtime/machine_addresses.h"

#include <gtest/gtest.h>

namespace gantry::runtime {
namespace {

TEST(MachineAddresses, TheWayToTheLoopbackIsTheLoopback) {
  EXPECT_EQ(address_towards("ipv4:127.0.0.1:8444"), "127.0.0.1");
  EXPECT_EQ(address_towards("127.0.0.1"), "127.0.0.1");
}

TEST(MachineAddresses, WhatIsNoIpv4AddressHasNone) {
  for (const char* peer : {"", "ipv6:%5B::1%5D:8444", "unix:/run/x", "ipv4:", "manager.example:8444", "ipv4:1.2.3:1"}) {
    EXPECT_EQ(address_towards(peer), "") << peer;
  }
}

}  // namespace
}  // namespace gantry::runtime
