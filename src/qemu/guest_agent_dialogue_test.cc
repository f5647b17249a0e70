#include "qemu/guest_agent_dialogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qemu/guest_agent_answers.h"

namespace gantry::qemu {
namespace {

using testing::ElementsAre;

TEST(GuestAgentDialogue, AsksOneQuestionAfterAnother) {
  GuestAgentDialogue dialogue(4711);
  EXPECT_EQ(dialogue.take_output(), "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":4711}}\n");
  EXPECT_EQ(dialogue.take_output(), "");
  ASSERT_TRUE(dialogue.feed("\xff{\"return\": 4711}\n"));
  EXPECT_TRUE(dialogue.synced());
  EXPECT_EQ(dialogue.take_output(), "{\"execute\":\"guest-get-host-name\"}\n");
  ASSERT_TRUE(dialogue.feed("{\"return\": {\"host-na"));
  ASSERT_TRUE(dialogue.feed("me\": \"web\"}}\n"));
  EXPECT_EQ(dialogue.take_output(), "{\"execute\":\"guest-get-osinfo\"}\n");
  ASSERT_TRUE(dialogue.feed(R"({"return": {"pretty-name": "Debian 12", "name": "Debian", "kernel-release": "6.1"}})"
                            "\n"));
  EXPECT_EQ(dialogue.take_output(), "{\"execute\":\"guest-network-get-interfaces\"}\n");
  EXPECT_FALSE(dialogue.done());
  ASSERT_TRUE(dialogue.feed("{\"return\": []}\n"));
  EXPECT_TRUE(dialogue.done());
  EXPECT_TRUE(dialogue.facts().agent_connected());
  EXPECT_EQ(dialogue.facts().host_name(), "web");
  EXPECT_EQ(dialogue.facts().operating_system(), "Debian 12");
  EXPECT_EQ(dialogue.facts().kernel(), "6.1");
}

TEST(GuestAgentDialogue, PassesOverWhatCameBeforeTheSync) {
  GuestAgentDialogue dialogue(7);
  ASSERT_TRUE(dialogue.feed("{\"return\": 7}\nhalf a li\xff{\"return\": 6}\n\xff{\"return\": \"7\"}\n\xff[]\n"));
  EXPECT_FALSE(dialogue.synced()) << "late, of another round, or not delimited";
  ASSERT_TRUE(dialogue.feed("{\"return\": {\"host-name\": \"o\xff{\"return\": 7}\n"));
  EXPECT_TRUE(dialogue.synced());
}

TEST(GuestAgentDialogue, GoesOnWhenTheAgentRefuses) {
  GuestAgentDialogue dialogue(7);
  ASSERT_TRUE(
      dialogue.feed("\xff{\"return\": 7}\n{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\n"
                    "not even JSON\n{\"return\": 5}\n"));
  EXPECT_TRUE(dialogue.done());
  v1::GuestFacts nothing_but_there;
  nothing_but_there.set_agent_connected(true);
  EXPECT_EQ(dialogue.facts().SerializeAsString(), nothing_but_there.SerializeAsString());
}

TEST(GuestAgentDialogue, DoesNotListenForever) {
  GuestAgentDialogue dialogue(7);
  Result<void> fed;
  std::size_t bytes = 0;
  for (const std::string piece(10'000, 'x'); fed && bytes <= 2 * GuestAgentDialogue::kBytesMax; bytes += piece.size()) {
    fed = dialogue.feed(piece);
  }
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, ErrorCode::corrupt);
}

TEST(GuestAgentDialogue, SurvivesDeepNesting) {
  GuestAgentDialogue dialogue(7);
  ASSERT_TRUE(dialogue.feed("\xff{\"return\": 7}\n"));
  ASSERT_TRUE(dialogue.feed("{\"return\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}\n"));
  EXPECT_EQ(dialogue.facts().host_name(), "");
}

TEST(GuestAgentInterfaces, AreThoseThatMatter) {
  v1::GuestFacts facts;
  read_interfaces(R"({"return": [
    {"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": [
      {"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8},
      {"ip-address-type": "ipv6", "ip-address": "::1", "prefix": 128}]},
    {"name": "eth0", "hardware-address": "52:54:00:AB:cd:01", "ip-addresses": [
      {"ip-address-type": "ipv6", "ip-address": "fe80::1%eth0", "prefix": 64},
      {"ip-address-type": "ipv4", "ip-address": "169.254.3.4", "prefix": 16},
      {"ip-address-type": "ipv6", "ip-address": "2001:DB8:0::2", "prefix": 64},
      {"ip-address-type": "ipv4", "ip-address": "10.66.0.2", "prefix": 24}]},
    {"name": "eth1", "hardware-address": "52:54:00:ab:cd:02"}]})",
                  facts);
  ASSERT_EQ(facts.interfaces_size(), 2);
  EXPECT_EQ(facts.interfaces(0).name(), "eth0");
  EXPECT_EQ(facts.interfaces(0).mac(), "52:54:00:ab:cd:01");
  EXPECT_THAT(facts.interfaces(0).addresses(),
              ElementsAre("2001:db8::2/64", "10.66.0.2/24", "fe80::1/64", "169.254.3.4/16"));
  EXPECT_EQ(facts.interfaces(1).addresses_size(), 0);
}

TEST(GuestAgentInterfaces, WithImpossibleAddressesAreLeftOut) {
  v1::GuestFacts facts;
  read_interfaces(R"({"return": [5, null, {"name": 3, "hardware-address": "zz:54:00:ab:cd:01", "ip-addresses": [
    {"ip-address": "10.0.0.256", "prefix": 24}, {"ip-address": "10.0.0.1", "prefix": 33},
    {"ip-address": "10.0.0.1", "prefix": -1}, {"ip-address": "10.0.0.1", "prefix": 1e3},
    {"ip-address": "10.0.0.1", "prefix": 18446744073709551615}, {"ip-address": "10.0.0.1"},
    {"ip-address": 10, "prefix": 8}, "10.0.0.1", {}]}, {"ip-addresses": {}}]})",
                  facts);
  EXPECT_EQ(facts.interfaces_size(), 0);
}

TEST(GuestAgentInterfaces, AreBounded) {
  std::string addresses = R"({"ip-address": "10.0.0.1", "prefix": 8})";
  for (int i = 0; i < 100; ++i) addresses += R"(, {"ip-address": "10.0.0.1", "prefix": 8})";
  std::string line =
      R"({"return": [{"name": ")" + std::string(1000, 'x') + R"(", "ip-addresses": [)" + addresses + "]}";
  for (int i = 0; i < 100; ++i) line += R"(, {"hardware-address": "52:54:00:00:00:01"})";
  v1::GuestFacts facts;
  read_interfaces(line + "]}", facts);
  EXPECT_EQ(facts.interfaces_size(), 32);
  EXPECT_EQ(facts.interfaces(0).addresses_size(), 32);
  EXPECT_EQ(facts.interfaces(0).name().size(), 64U);
}

}  // namespace
}  // namespace gantry::qemu
