#include "app/sentinel/wire.h"

#include <gtest/gtest.h>

namespace gantry::sentinel {
namespace {

port::LeaseWish sample() {
  return {.vm_id = "vm-000000000001",
          .directory = "/pool",
          .host_id = "host-a",
          .epoch = 3,
          .is_private = false,
          .hold = true};
}

std::string without_end(std::string line) {
  line.pop_back();
  return line;
}

TEST(WireTest, ARequestIsReadAsWritten) {
  const auto read = parse_request(without_end(to_line(Request{Request::Kind::remove, sample()})));
  ASSERT_TRUE(read) << read.error().to_text();
  EXPECT_EQ(read->kind, Request::Kind::remove);
  EXPECT_EQ(read->wish, sample());
}

TEST(WireTest, WhatAMoveAsksForIsReadAsWritten) {
  port::LeaseWish wish = sample();
  wish.was_given = true;
  EXPECT_EQ(parse_request(without_end(to_line(Request{Request::Kind::want, wish})))->wish, wish);
  wish = sample();
  wish.hold = false;
  wish.incoming = true;
  wish.heir = "host-b";
  wish.heir_epoch = 5;
  wish.serves = true;
  EXPECT_EQ(parse_request(without_end(to_line(Request{Request::Kind::want, wish})))->wish, wish);
}

TEST(WireTest, ALeaseInCephIsOneThatOtherHostsReach) {
  port::LeaseWish wish = sample();
  wish.directory = "rbd:gantry@vms//:/s/ceph/pool-1.conf";
  wish.images = {"rbd:gantry@vms//vol-1:/s/ceph/pool-1.conf"};
  wish.lacks_images = true;
  const auto read = parse_request(without_end(to_line(Request{Request::Kind::want, wish})));
  ASSERT_TRUE(read) << read.error().to_text();
  EXPECT_EQ(read->wish, wish);
  wish.is_private = true;
  EXPECT_FALSE(parse_request(without_end(to_line(Request{Request::Kind::want, wish}))));
}

TEST(WireTest, ALineFromBeforeGuestsMovedIsRead) {
  const auto read = parse_request(
      R"({"want":{"vm":"vm-000000000001","directory":"/pool","host":"host-a","epoch":3,"private":false,"hold":true}})");
  ASSERT_TRUE(read) << read.error().to_text();
  EXPECT_EQ(read->wish, sample());
}

TEST(WireTest, AProgramFromBeforeGuestsMovedIsKnown) {
  const std::string old =
      R"({"lease":{"vm":"vm-000000000001","state":1,"epoch":3,"reason":"","guard":"/guards/vm-000000000001"}})";
  const auto read = parse_answer(old);
  ASSERT_TRUE(read && read->lease);
  EXPECT_TRUE(read->lease->moves_nothing);
  EXPECT_FALSE(parse_answer(without_end(to_line(*read)))->lease->moves_nothing);
  EXPECT_TRUE(read->lease->serves_nothing);
  EXPECT_FALSE(parse_answer(without_end(to_line(*read)))->lease->serves_nothing);
}

TEST(WireTest, AnHeirThatCannotHaveItIsRefused) {
  port::LeaseWish good = sample();
  good.hold = false;
  good.heir = "host-b";
  good.heir_epoch = 4;
  ASSERT_TRUE(parse_request(without_end(to_line(Request{Request::Kind::want, good}))));
  std::vector<port::LeaseWish> bad(4, good);
  bad[0].hold = true;
  bad[1].heir = "host-a";
  bad[2].heir_epoch = 3;
  bad[3].heir = std::string(host::kLeaseHostIdBytesMax + 1, 'b');
  for (const port::LeaseWish& wish : bad) {
    EXPECT_FALSE(parse_request(without_end(to_line(Request{Request::Kind::want, wish}))))
        << to_line(Request{Request::Kind::want, wish});
  }
}

TEST(WireTest, WordsThatBecomePathsAreChecked) {
  port::LeaseWish wish = sample();
  wish.vm_id = "../../etc/passwd";
  EXPECT_FALSE(parse_request(without_end(to_line(Request{Request::Kind::want, wish}))));
  wish = sample();
  wish.directory = "pool";
  EXPECT_FALSE(parse_request(without_end(to_line(Request{Request::Kind::want, wish}))));
}

TEST(WireTest, AHandoverIsReadAsWritten) {
  Handover handover;
  Ward ward;
  ward.wish = sample();
  ward.memory = {.epoch = 2, .held = true, .given_to_itself = false, .counter = 9, .renewed_ms = 1'234};
  ward.guard.freeze_at_ms = 77;
  ward.guard.resume = true;
  ward.guarded = true;
  handover.wards.push_back(ward);
  const auto read = parse_handover(without_end(to_line(handover)));
  ASSERT_TRUE(read) << read.error().to_text();
  ASSERT_EQ(read->wards.size(), 1U);
  EXPECT_EQ(to_line(*read), to_line(handover));
}

TEST(WireTest, WhatIsNoMessageIsAnError) {
  for (const char* line : {"", "{}", "[]", "{\"want\":1}", "{\"want\":{\"vm\":3}}", "\xff\xfe"}) {
    EXPECT_FALSE(parse_request(line)) << line;
    EXPECT_FALSE(parse_handover(line)) << line;
  }
}

TEST(WireTest, LinesAreGivenWhenTheyEndAndNotWithoutLimit) {
  Lines lines;
  std::vector<std::string> seen;
  const auto take = [&seen](std::string_view line) { seen.emplace_back(line); };
  EXPECT_TRUE(lines.add("one\ntw", take));
  EXPECT_TRUE(lines.add("o\n", take));
  EXPECT_EQ(seen, (std::vector<std::string>{"one", "two"}));
  EXPECT_FALSE(lines.add(std::string(kLineBytesMax + 1, 'x'), take));
}

}  // namespace
}  // namespace gantry::sentinel
