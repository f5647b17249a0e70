#include "qemu/qmp_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace gantry::qemu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kGreeting = R"({"QMP":{"version":{"qemu":{"major":7}},"capabilities":["oob"]}})"
                                  "\r\n";

class QmpCodecTest : public testing::Test {
 protected:
  void greet() {
    ASSERT_TRUE(codec.feed(kGreeting));
    ASSERT_TRUE(codec.feed("{\"return\":{},\"id\":1048577}\n"));
    codec.take_output();
  }
  QmpReply keep() {
    return [this](Result<std::string> reply) { replies.push_back(reply ? *reply : "! " + reply.error().to_text()); };
  }

  Now now{.monotonic_ms = 1};
  std::vector<std::string> events;
  std::vector<std::string> replies;
  QmpCodec codec{[this](const QmpEvent& event) { events.push_back(event.name + event.data); }, now, 5000, 1024};
};

TEST_F(QmpCodecTest, HoldsCommandsUntilTheGreetingAndThenSendsAllAtOnce) {
  codec.execute("cont", "", 100, now, keep());
  EXPECT_EQ(codec.take_output(), "");
  ASSERT_TRUE(codec.feed(kGreeting));
  EXPECT_EQ(codec.take_output(),
            "{\"execute\":\"qmp_capabilities\",\"id\":1048577}\n{\"execute\":\"cont\",\"id\":1048578}\n");
  EXPECT_FALSE(codec.ready());
  ASSERT_TRUE(codec.feed("{\"return\":{},\"id\":1048577}\n"));
  EXPECT_TRUE(codec.ready());
}

TEST_F(QmpCodecTest, MatchesRepliesByIdAndKeepsEventsInOrder) {
  greet();
  codec.execute("a", R"({"x":1})", 100, now, keep());
  codec.execute("b", "", 100, now, keep());
  EXPECT_THAT(codec.take_output(), HasSubstr(R"("arguments":{"x":1})"));
  ASSERT_TRUE(
      codec.feed("{\"event\":\"STOP\"}\n{\"return\":\"second\",\"id\":1048579}\n{\"event\":\"RESET\",\"data\":"
                 "{\"guest\":true}}\n{\"return\":\"first\",\"id\":1048578}\n"));
  EXPECT_THAT(replies, ElementsAre("\"second\"", "\"first\""));
  EXPECT_THAT(events, ElementsAre("STOP{}", R"(RESET{"guest":true})"));
}

TEST_F(QmpCodecTest, TakesOneByteAtATime) {
  const std::string all = std::string(kGreeting) + "{\"return\":{},\"id\":1048577}\n{\"event\":\"STOP\"}\n";
  for (const char byte : all) ASSERT_TRUE(codec.feed(std::string_view(&byte, 1)));
  EXPECT_TRUE(codec.ready());
  EXPECT_EQ(events.size(), 1U);
}

TEST_F(QmpCodecTest, TellsQemusReason) {
  greet();
  codec.execute("cont", "", 100, now, keep());
  ASSERT_TRUE(codec.feed("{\"error\":{\"class\":\"GenericError\",\"desc\":\"no such thing\"},\"id\":1048578}\n"));
  EXPECT_THAT(replies, ElementsAre(HasSubstr("no such thing")));
}

TEST_F(QmpCodecTest, FailsEachCommandAtItsOwnDeadlineAndIgnoresLateReplies) {
  greet();
  codec.execute("slow", "", 100, now, keep());
  codec.execute("slower", "", 200, now, keep());
  EXPECT_EQ(codec.next_deadline_ms(), 101);
  now.monotonic_ms = 100;
  codec.expire(now);
  EXPECT_TRUE(replies.empty());
  now.monotonic_ms = 101;
  codec.expire(now);
  EXPECT_THAT(replies, ElementsAre(HasSubstr("did not answer slow")));
  ASSERT_TRUE(codec.feed("{\"return\":{},\"id\":1048578}\n{\"return\":7,\"id\":1048579}\n"));
  EXPECT_EQ(replies.back(), "7");
  EXPECT_EQ(codec.next_deadline_ms(), std::nullopt);
}

TEST_F(QmpCodecTest, LimitsMemoryButNotTheLengthOfLinesInARead) {
  greet();
  codec.execute("big", "", 100, now, keep());
  ASSERT_TRUE(codec.feed("{\"return\":\"" + std::string(1000, 'x')));
  ASSERT_TRUE(codec.feed("\",\"id\":1048578}\n"));
  ASSERT_EQ(replies.back().size(), 1002U);
  EXPECT_FALSE(codec.feed(std::string(1025, 'x')));
  codec.execute("after", "", 100, now, keep());
  EXPECT_THAT(replies.back(), HasSubstr("1024 bytes"));
}

TEST_F(QmpCodecTest, TakesLongAnswersButNotWithoutEnd) {
  QmpCodec usual(nullptr, now, 5000);
  ASSERT_TRUE(usual.feed(kGreeting));
  usual.execute("query-block", "", 100, now, keep());
  const std::string piece(4096, ' ');
  const auto feed = [&](std::size_t bytes) {
    for (std::size_t fed = 0; fed < bytes; fed += piece.size()) {
      if (!usual.feed(piece)) return false;
    }
    return true;
  };
  ASSERT_TRUE(feed(1000U << 10U));
  ASSERT_TRUE(usual.feed("{\"return\":[],\"id\":1048578}\n"));
  EXPECT_THAT(replies, ElementsAre("[]"));
  EXPECT_FALSE(feed(QmpCodec::kBytesMax + piece.size()));
}

// A guest that took over its QEMU sends events without end, and answers none of the questions they lead to.
TEST_F(QmpCodecTest, LimitsTheCommandsThatNobodyAnswers) {
  greet();
  for (std::size_t i = 0; i < QmpCodec::kPendingMax; ++i) codec.execute("query-status", "", 100, now, keep());
  EXPECT_TRUE(replies.empty());
  const std::size_t output = codec.take_output().size();
  for (int i = 0; i < 1000; ++i) codec.execute("query-status", "", 100, now, keep());
  EXPECT_EQ(replies.size(), 1000U);
  EXPECT_THAT(replies.back(), HasSubstr("answers none of 100 commands"));
  EXPECT_EQ(codec.take_output(), "") << output;
  now.monotonic_ms += 100;
  codec.expire(now);
  codec.execute("query-status", "", 100, now, keep());
  EXPECT_NE(codec.take_output(), "");
}

TEST_F(QmpCodecTest, CutsWhatQemuSaysOfAnError) {
  greet();
  codec.execute("cont", "", 100, now, keep());
  ASSERT_TRUE(codec.feed("{\"error\":{\"desc\":\"\\u001b" + std::string(900, 'x') + "\"},\"id\":1048578}\n"));
  EXPECT_THAT(replies.back(), HasSubstr("?xxx"));
  EXPECT_LT(replies.back().size(), 600U);
}

TEST_F(QmpCodecTest, EndsTheSessionOnWhatIsNoQmp) {
  for (const std::string& bad : {std::string("nonsense\n"), std::string("[]\n"), std::string("\0\xff\n", 3),
                                 std::string(400, '[') + "\n", "{\"return\":" + std::string(300, '[') + "\n"}) {
    QmpCodec fresh(nullptr, now, 5000);
    ASSERT_TRUE(fresh.feed(kGreeting));
    ASSERT_TRUE(fresh.feed("{\"return\":{},\"id\":1048577}\n"));
    bool failed = false;
    fresh.execute("cont", "", 100, now, [&](const Result<std::string>& reply) { failed = !reply; });
    EXPECT_FALSE(fresh.feed(bad)) << bad;
    EXPECT_TRUE(failed) << bad;
  }
}

TEST_F(QmpCodecTest, IgnoresWhatIsMeantForASessionBefore) {
  ASSERT_TRUE(codec.feed("{\"return\":{},\"id\":1048577}\n{\"event\":\"STOP\"}\n"));
  EXPECT_FALSE(codec.ready());
  greet();
  codec.execute("query-status", "", 100, now, keep());
  ASSERT_TRUE(codec.feed("{\"return\":1}\n{\"return\":2,\"id\":2}\n{\"id\":1048578}\n{\"error\":{},\"id\":\"x\"}\n"));
  EXPECT_TRUE(replies.empty());
  ASSERT_TRUE(codec.feed("{\"return\":3,\"id\":1048578}\n"));
  EXPECT_THAT(replies, ElementsAre("3"));
  EXPECT_TRUE(events.empty());
}

TEST_F(QmpCodecTest, FailsAllCommandsWhenClosedFromWithinAReply) {
  greet();
  codec.execute("a", "", 100, now, [&](const Result<std::string>&) { codec.close({ErrorCode::unavailable, "gone"}); });
  codec.execute("b", "", 100, now, keep());
  EXPECT_FALSE(codec.feed("{\"return\":{},\"id\":1048578}\n{\"event\":\"STOP\"}\n"));
  EXPECT_EQ(replies.size(), 1U);
  EXPECT_TRUE(events.empty());
}

TEST(JsonMember, ReadsFlatValues) {
  EXPECT_EQ(json_member(R"({"status":"paused","running":false,"n":3})", "status"), "paused");
  EXPECT_EQ(json_member(R"({"status":"paused","running":false})", "running"), "false");
  EXPECT_EQ(json_member("{}", "status"), std::nullopt);
  EXPECT_EQ(json_member("nonsense", "status"), std::nullopt);
  EXPECT_EQ(json_quote("a\"b\xff\n"), "\"a\\\"b\xef\xbf\xbd\\n\"");
}

}  // namespace
}  // namespace gantry::qemu
