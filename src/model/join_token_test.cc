#include "model/join_token.h"

#include <gtest/gtest.h>

namespace gantry::model {
namespace {

v1::JoinToken token() {
  v1::JoinToken made;
  made.add_addresses("192.0.2.1:8444");
  made.add_addresses("[2001:db8::1]:8444");
  made.set_authority_fingerprint(std::string(32, '\xab'));
  made.set_secret("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG");
  return made;
}

std::string refusal(std::string_view text) {
  const auto parsed = parse_join_token(text);
  return parsed ? "" : parsed.error().word();
}

TEST(JoinToken, IsOneWordThatHoldsWhatWasPutIn) {
  const std::string text = format_join_token(token());
  EXPECT_EQ(text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
            std::string::npos);
  const auto parsed = parse_join_token("  " + text + "\n");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->SerializeAsString(), token().SerializeAsString());
}

TEST(JoinToken, EveryCutAndEveryMistypedLetterIsNamedAsThat) {
  const std::string text = format_join_token(token());
  for (std::size_t length = 4; length < text.size(); ++length) {
    EXPECT_EQ(refusal(text.substr(0, length)), "token_damaged") << length;
  }
  for (std::size_t at = 4; at < text.size(); ++at) {
    std::string typo = text;
    typo[at] = typo[at] == 'x' ? 'y' : 'x';
    EXPECT_EQ(refusal(typo), "token_damaged") << at;
  }
  EXPECT_EQ(refusal(text + "A"), "token_damaged");
  EXPECT_EQ(refusal(text.substr(0, 20) + " " + text.substr(20)), "token_damaged");
}

TEST(JoinToken, WhatIsNoneIsTold) {
  EXPECT_EQ(refusal(""), "bad_token");
  EXPECT_EQ(refusal("gs_abcdef"), "bad_token");
  EXPECT_EQ(refusal(std::string(5000, 'a')), "bad_token");
  EXPECT_EQ(refusal("gj2_abcdef"), "token_version");
  v1::JoinToken nowhere = token();
  nowhere.clear_addresses();
  EXPECT_EQ(refusal(format_join_token(nowhere)), "bad_token");
  v1::JoinToken elsewhere = token();
  elsewhere.set_addresses(0, "a b:1");
  EXPECT_EQ(refusal(format_join_token(elsewhere)), "bad_link_address");
  v1::JoinToken unpinned = token();
  unpinned.set_authority_fingerprint("short");
  EXPECT_EQ(refusal(format_join_token(unpinned)), "bad_token");
}

TEST(LinkAddress, NamesAHostAndAPort) {
  EXPECT_EQ(parse_link_address("[2001:db8::1]:8444")->host, "2001:db8::1");
  EXPECT_EQ(parse_link_address("manager.example:1")->port, "1");
  EXPECT_EQ(format_link_address("2001:db8::1", 8444), "[2001:db8::1]:8444");
  EXPECT_EQ(format_link_address("192.0.2.1", 8444), "192.0.2.1:8444");
  for (const char* text :
       {"", ":1", "a", "a:", "a:0", "a:65536", "a:1x", "2001:db8::1:80", "[]:1", "a/b:1", "[::1:2"}) {
    EXPECT_FALSE(parse_link_address(text)) << text;
  }
}

}  // namespace
}  // namespace gantry::model
