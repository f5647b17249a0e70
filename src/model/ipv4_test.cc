#include "model/ipv4.h"

#include <gtest/gtest.h>

namespace gantry::model {
namespace {

TEST(Ipv4, ReadsWhatItWrites) {
  for (const char* text : {"0.0.0.0", "10.66.0.2", "255.255.255.255", "127.0.0.1"}) {
    const auto address = parse_ipv4(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(format_ipv4(*address), text);
  }
  EXPECT_EQ(parse_ipv4("10.0.0.1")->value, 0x0a000001U);
}

TEST(Ipv4, RefusesOtherForms) {
  for (const char* text : {"", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "+1.2.3.4",
                           "-1.2.3.4", "1..3.4", "0x1.2.3.4", "1.2.3.4/8", "99999999999.1.1.1"}) {
    EXPECT_FALSE(parse_ipv4(text)) << text;
  }
}

TEST(Ipv4Subnet, ReadsWhatItWrites) {
  for (const char* text : {"0.0.0.0/0", "10.66.0.0/24", "10.0.0.0/8", "192.168.7.9/32", "192.168.7.8/31"}) {
    const auto subnet = parse_ipv4_subnet(text);
    ASSERT_TRUE(subnet) << text;
    EXPECT_EQ(format_ipv4_subnet(*subnet), text);
  }
}

TEST(Ipv4Subnet, RefusesOtherForms) {
  for (const char* text : {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.1/24",
                           "10.0.0/24", "10.0.0.0/24/8", "/24"}) {
    EXPECT_FALSE(parse_ipv4_subnet(text)) << text;
  }
  EXPECT_NE(parse_ipv4_subnet("10.0.0.1/24").error().cause.find("10.0.0.0/24"), std::string::npos);
}

TEST(Ipv4Subnet, CountsItsHostsFromOne) {
  const auto subnet = *parse_ipv4_subnet("10.66.0.0/24");
  EXPECT_EQ(subnet.host_count(), 254U);
  EXPECT_EQ(format_ipv4(*subnet.host(1)), "10.66.0.1");
  EXPECT_EQ(format_ipv4(*subnet.host(254)), "10.66.0.254");
  EXPECT_FALSE(subnet.host(0));
  EXPECT_FALSE(subnet.host(255));
  EXPECT_EQ(parse_ipv4_subnet("10.0.0.0/30")->host_count(), 2U);
  EXPECT_EQ(parse_ipv4_subnet("10.0.0.0/31")->host_count(), 0U);
  EXPECT_EQ(parse_ipv4_subnet("0.0.0.0/0")->host_count(), 0xfffffffeU);
}

TEST(Ipv4Subnet, KnowsWhatLiesInIt) {
  const auto subnet = *parse_ipv4_subnet("10.66.0.0/24");
  EXPECT_TRUE(subnet.contains(*parse_ipv4("10.66.0.255")));
  EXPECT_FALSE(subnet.contains(*parse_ipv4("10.66.1.0")));
  EXPECT_EQ(format_ipv4(subnet.last()), "10.66.0.255");
  EXPECT_TRUE(subnet.overlaps(*parse_ipv4_subnet("10.0.0.0/8")));
  EXPECT_TRUE(subnet.overlaps(*parse_ipv4_subnet("10.66.0.128/25")));
  EXPECT_FALSE(subnet.overlaps(*parse_ipv4_subnet("10.66.1.0/24")));
  EXPECT_EQ(subnet_of(*parse_ipv4("10.66.0.77"), 24), subnet);
}

}  // namespace
}  // namespace gantry::model
