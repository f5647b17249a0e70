#include "app/cli/security_rules.h"

#include <gtest/gtest.h>

namespace gantry::app {
namespace {

TEST(SecurityRules, AreReadAndWrittenAlike) {
  for (const std::string text : {"in:any", "out:any", "in:icmp", "in:tcp:22:192.0.2.0/24", "in:tcp:8000-8099:web",
                                 "out:udp:53", "in:icmp::192.0.2.0/24", "out:any::web"}) {
    const auto rule = parse_rule(text);
    ASSERT_TRUE(rule) << text << ": " << rule.error().to_text();
    EXPECT_EQ(rule_text(*rule), text);
  }
  EXPECT_EQ(rule_text(parse_rule("out").value()), "out:any");
  EXPECT_EQ(rule_text(parse_rule("in::").value()), "in:any");
  EXPECT_EQ(rule_text(parse_rule("in:tcp:*:web").value()), "in:tcp::web");
}

TEST(SecurityRules, SayWhatIsWrongWithThem) {
  for (const char* text : {"", "inn", "in:tpc", "in:tcp:0", "in:tcp:70000", "in:tcp:22-", "in:tcp:90-80", "in:icmp:22",
                           "in:tcp:22:a:b", "in:tcp:-5", "in:tcp:22x"}) {
    const auto rule = parse_rule(text);
    ASSERT_FALSE(rule) << text;
    EXPECT_FALSE(rule.error().cause.empty()) << text;
  }
}

}  // namespace
}  // namespace gantry::app
