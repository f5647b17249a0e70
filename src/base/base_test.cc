#include <gtest/gtest.h>

#include <array>
#include <set>

#include "base/hex.h"
#include "base/id.h"
#include "base/result.h"
#include "base/rng.h"

namespace gantry {
namespace {

TEST(Rng, RepeatsForTheSameSeed) {
  Rng a(7);
  Rng b(7);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(), b.next());
}

TEST(Rng, StaysBelowItsBound) {
  Rng rng(1);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    const auto value = rng.below(7);
    ASSERT_LT(value, 7U);
    seen.insert(value);
  }
  EXPECT_EQ(seen.size(), 7U);
}

TEST(Id, HasTheFormItChecks) {
  Rng rng(3);
  const std::string id = make_id("vm", rng);
  EXPECT_TRUE(is_id(id, "vm"));
  EXPECT_FALSE(is_id(id, "vol"));
  EXPECT_FALSE(is_id("vm-../../etc/pa", "vm"));
  EXPECT_FALSE(is_id("vm-", "vm"));
  EXPECT_FALSE(is_id("", "vm"));
}

TEST(Hex, HasTwoDigitsForEachByte) {
  constexpr std::array<unsigned char, 4> bytes = {0x00, 0x0f, 0xa5, 0xff};
  EXPECT_EQ(to_hex(bytes.data(), 4), "000fa5ff");
  EXPECT_EQ(to_hex(bytes.data(), 0), "");
}

TEST(Error, PutsEverythingOnOneLine) {
  const Error error{ErrorCode::out_of_space, "cannot make volume \"a\"", "the pool is full", "free some space"};
  EXPECT_EQ(error.to_text(), "cannot make volume \"a\": the pool is full (free some space)");
  EXPECT_EQ(error.word(), "out_of_space");
}

}  // namespace
}  // namespace gantry
