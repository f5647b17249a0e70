#include "metrics/compact_value.h"

#include <gtest/gtest.h>

namespace gantry::metrics {
namespace {

TEST(CompactValue, IsWithinAThousandth) {
  for (double value = 0.001; value < 1e15; value *= 1.0137) {
    EXPECT_NEAR(value_of(compact(value)), value, value / 1000) << value;
  }
}

TEST(CompactValue, SmallWholeNumbersAreExact) {
  for (int number = 0; number <= 1024; ++number) EXPECT_EQ(value_of(compact(number)), number);
}

TEST(CompactValue, NoValueIsNotZero) {
  EXPECT_TRUE(std::isnan(value_of(compact(kNoValue))));
  EXPECT_TRUE(std::isnan(value_of(compact(-1))));
  EXPECT_EQ(value_of(compact(0)), 0);
  EXPECT_EQ(value_of(compact(1e-9)), 0);
}

TEST(CompactValue, GrowsWithItsValue) {
  CompactValue before = compact(0);
  for (double value = 0.0002; value < 1e16; value *= 1.003) {
    const CompactValue now = compact(value);
    EXPECT_GE(now, before);
    before = now;
  }
  EXPECT_EQ(compact(1e300), compact(std::numeric_limits<double>::infinity()));
  EXPECT_GT(value_of(compact(1e300)), 2e15);
}

TEST(CompactValue, EveryCodeIsItself) {
  for (int code = 0; code <= std::numeric_limits<CompactValue>::max(); ++code) {
    const auto one = static_cast<CompactValue>(code);
    EXPECT_EQ(compact(value_of(one)), one);
  }
}

}  // namespace
}  // namespace gantry::metrics
