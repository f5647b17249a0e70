#include "network/names.h"

#include <gtest/gtest.h>

#include "base/id.h"
#include "model/mac.h"

namespace gantry::network {
namespace {

TEST(Names, FitIntoWhatLinuxTakes) {
  Rng rng(1);
  const std::string network = make_id("net", rng);
  const std::string vm = make_id("vm", rng);
  EXPECT_EQ(bridge_name(network).size(), 15U);
  EXPECT_EQ(tap_name(vm, 0).size(), 15U);
  EXPECT_TRUE(is_interface_name(bridge_name(network)));
  EXPECT_TRUE(is_interface_name(tap_name(vm, kNicsMax - 1)));
}

TEST(Names, TellVmsAndCardsApart) {
  EXPECT_EQ(tap_name("vm-4f7k2m9qzt3x", 0), "gt4f7k2m9qzt3x0");
  EXPECT_EQ(tap_name("vm-4f7k2m9qzt3x", 31), "gt4f7k2m9qzt3xv");
  EXPECT_TRUE(is_tap_of("gt4f7k2m9qzt3x5", "vm-4f7k2m9qzt3x"));
  EXPECT_FALSE(is_tap_of("gt4f7k2m9qzt3y5", "vm-4f7k2m9qzt3x"));
  EXPECT_FALSE(is_tap_of("gt4f7k2m9qzt3x", "vm-4f7k2m9qzt3x"));
}

TEST(Names, GiveABridgeAMacForGood) {
  EXPECT_TRUE(model::parse_mac(bridge_mac("net-4f7k2m9qzt3x")));
  EXPECT_EQ(bridge_mac("net-4f7k2m9qzt3x"), bridge_mac("net-4f7k2m9qzt3x"));
  EXPECT_NE(bridge_mac("net-4f7k2m9qzt3x"), bridge_mac("net-4f7k2m9qzt3y"));
}

TEST(Names, RefuseWhatCouldMeanMore) {
  for (const char* name : {"", ".", "..", "a b", "a\"b", "a;b", "a/b", "a:1", "abcdefghijklmnop", "a\nb"}) {
    EXPECT_FALSE(is_interface_name(name)) << name;
  }
}

}  // namespace
}  // namespace gantry::network
