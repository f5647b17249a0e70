#include "qemu/postcopy_support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace gantry::qemu {
namespace {

using testing::HasSubstr;

TEST(PostcopySupport, TellsWhatToDoAboutWhatIsInTheWay) {
  EXPECT_EQ(postcopy_problem_of(0, "0\n"), "");
  EXPECT_THAT(postcopy_problem_of(EPERM, "0\n"), HasSubstr("vm.unprivileged_userfaultfd=1"));
  EXPECT_THAT(postcopy_problem_of(EPERM, "1\n"), HasSubstr("Operation not permitted"));
  EXPECT_THAT(postcopy_problem_of(ENOSYS, ""), HasSubstr("no userfaultfd(2)"));
}

}  // namespace
}  // namespace gantry::qemu
