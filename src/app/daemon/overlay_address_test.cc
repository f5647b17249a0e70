#include "app/daemon/overlay_address.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

namespace gantry::app {
namespace {

const std::vector<runtime::MachineAddress> kHere = {{"eth0", AF_INET6, "2001:db8::1", true},
                                                    {"docker0", AF_INET, "172.17.0.1", true},
                                                    {"gn-4f7k2m9qzt3x", AF_INET, "10.66.0.1", true},
                                                    {"eth0", AF_INET, "192.0.2.1", true},
                                                    {"eth1", AF_INET, "198.51.100.1", true}};

TEST(OverlayAddress, IsTheOneNamedThatIsThisMachines) {
  EXPECT_EQ(choose_overlay_address({"manager.example", "203.0.113.1", "198.51.100.1"}, kHere, "192.0.2.1"),
            "198.51.100.1");
  EXPECT_EQ(choose_overlay_address({"198.51.100.1:9443"}, kHere, "192.0.2.1"), "198.51.100.1");
}

TEST(OverlayAddress, IsElseThatOfTheWayOut) {
  EXPECT_EQ(choose_overlay_address({}, kHere, "192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(choose_overlay_address({"203.0.113.1"}, kHere, "192.0.2.1"), "192.0.2.1");
}

TEST(OverlayAddress, WithoutAWayOutItIsTheFirstThatServes) {
  EXPECT_EQ(choose_overlay_address({}, kHere, ""), "172.17.0.1");
  EXPECT_EQ(choose_overlay_address({}, {kHere[0], kHere[2]}, "2001:db8::1"), "");
  EXPECT_EQ(choose_overlay_address({}, {}, ""), "");
}

}  // namespace
}  // namespace gantry::app
