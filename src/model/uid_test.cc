#include "model/uid.h"

#include <gtest/gtest.h>

#include <string>

namespace gantry::model {
namespace {

TEST(GuestUid, IsOfNobodyElse) {
  // The last number of systemd's containers, and the first of its "foreign" ones.
  EXPECT_GT(kGuestUidFirst, 1'879'048'191U);
  EXPECT_LT(kGuestUidFirst + kGuestUidCount, 2'147'352'576U);
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t uid = guest_uid("vm-" + std::to_string(i));
    EXPECT_GE(uid, kGuestUidFirst);
    EXPECT_LT(uid, kGuestUidFirst + kGuestUidCount);
  }
}

TEST(GuestUid, StaysTheSame) { EXPECT_EQ(guest_uid("vm-4f7k2m9qzt3x"), 2'113'662'085U); }

}  // namespace
}  // namespace gantry::model
