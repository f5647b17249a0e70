#include "host/lease_record.h"

#include <gtest/gtest.h>

namespace gantry::host {
namespace {

LeaseRecord sample() {
  return {.owner = "host-a", .epoch = 7, .counter = 1ULL << 40U, .heir = "host-b", .heir_epoch = 8};
}

TEST(LeaseRecordTest, IsReadAsWritten) {
  const std::string block = to_block(sample());
  EXPECT_EQ(block.size(), kLeaseBlockBytes);
  const auto read = parse_lease_block(block);
  ASSERT_TRUE(read) << read.error().to_text();
  EXPECT_EQ(*read, sample());
}

TEST(LeaseRecordTest, EveryChangedByteIsSeen) {
  const std::string block = to_block(sample());
  for (std::size_t at = 0; at < 512; ++at) {
    std::string damaged = block;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    EXPECT_FALSE(parse_lease_block(damaged)) << at;
  }
}

TEST(LeaseRecordTest, ATornOrEmptyBlockStandsForARecordOfNobodyThatChangesWithIt) {
  EXPECT_FALSE(parse_lease_block(""));
  EXPECT_FALSE(parse_lease_block(to_block(sample()).substr(0, 300)));
  const LeaseRecord first = unreadable_record("one");
  EXPECT_TRUE(first.owner.empty());
  EXPECT_EQ(first.epoch, 0U);
  EXPECT_EQ(first, unreadable_record("one"));
  EXPECT_NE(first, unreadable_record("two"));
}

}  // namespace
}  // namespace gantry::host
