#include "app/cli/launch_parts.h"

#include <gtest/gtest.h>

#include "app/cli/output.h"

namespace gantry::app {
namespace {

// What it is refused for; empty when it is fine.
template <class Part>
std::string refused(const Result<Part>& part) {
  if (part) return {};
  EXPECT_EQ(exit_code_of(part.error()), 2);
  return part.error().summary + ": " + part.error().cause;
}

TEST(LaunchParts, DisksHaveABusAFormatAndAPool) {
  const auto made = parse_disk("10G,bus=sata,format=raw,pool=fast", false);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->bus(), v1::VmDisk::SATA);
  EXPECT_EQ(made->create().capacity_bytes(), 10ULL << 30U);
  EXPECT_EQ(made->create().format(), "raw");
  EXPECT_EQ(made->create().pool(), "fast");
  const auto named = parse_disk("data,read-only", false);
  ASSERT_TRUE(named);
  EXPECT_EQ(named->volume(), "data");
  EXPECT_FALSE(named->has_create());
  EXPECT_TRUE(named->read_only());
  const auto first = parse_disk("bus=sata", true);
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->has_create());
  EXPECT_EQ(first->create().capacity_bytes(), 0U);
  EXPECT_EQ(first->bus(), v1::VmDisk::SATA);
  EXPECT_TRUE(parse_disk("", true));
}

TEST(LaunchParts, DisksThatMakeNoSenseAreRefused) {
  for (const char* text :
       {"", "bus=sata", "10G,bus=ide", "10G,bus", "10G,format=vmdk", "10G,banana=1", "10G,bus=sata,bus=sata",
        "data,format=raw", "data,pool=fast", "10G,read-only=yes", "10G,", "10G,11G"}) {
    EXPECT_NE(refused(parse_disk(text, false)), "") << text;
  }
  for (const char* text : {"data", "10X", "10G,size=1"}) EXPECT_NE(refused(parse_disk(text, true)), "") << text;
}

TEST(LaunchParts, NicsHaveAModelAMacAndAnAddress) {
  const auto nic = parse_nic("lan,model=e1000e,mac=52:54:00:00:00:01,ip=10.66.0.9");
  ASSERT_TRUE(nic);
  EXPECT_EQ(nic->network(), "lan");
  EXPECT_EQ(nic->model(), v1::VmNic::E1000E);
  EXPECT_EQ(nic->mac(), "52:54:00:00:00:01");
  EXPECT_EQ(nic->ipv4(), "10.66.0.9");
  EXPECT_EQ(parse_nic("none")->network(), "none");
  EXPECT_EQ(parse_nic("ip=10.66.0.9")->network(), "");
  for (const char* text : {"lan,model=ne2000", "lan,address=1", "lan,mac=a,mac=b", "lan,wan"}) {
    EXPECT_NE(refused(parse_nic(text)), "") << text;
  }
}

TEST(LaunchParts, ForwardsAreReadInEveryForm) {
  const auto full = parse_forward("0.0.0.0:8080:80/udp");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->host_address(), "0.0.0.0");
  EXPECT_EQ(full->host_port(), 8080U);
  EXPECT_EQ(full->guest_port(), 80U);
  EXPECT_EQ(full->protocol(), v1::PortForward::UDP);
  EXPECT_EQ(parse_forward(":22")->host_port(), 0U);
  for (const char* text : {"", "80", "8080:", "8080:0", "1:70000", "8080:80/sctp", "a:b"}) {
    EXPECT_NE(refused(parse_forward(text)), "") << text;
  }
}

TEST(LaunchParts, MemoryIsWholeMebibytes) {
  EXPECT_EQ(parse_mebibytes("2G").value(), 2048U);
  EXPECT_EQ(parse_mebibytes("1M").value(), 1U);
  // As 0 it would be the default, and cut to 32 bits anything.
  for (const char* text : {"512", "1000K", "4096T", "4097T", "banana"})
    EXPECT_NE(refused(parse_mebibytes(text)), "") << text;
}

TEST(LaunchParts, LabelsMayBeEmpty) {
  google::protobuf::Map<std::string, std::string> labels;
  add_labels({"tier=web", "blue", "a=b=c"}, labels);
  EXPECT_EQ(labels["tier"], "web");
  EXPECT_EQ(labels["blue"], "");
  EXPECT_EQ(labels["a"], "b=c");
}

}  // namespace
}  // namespace gantry::app
