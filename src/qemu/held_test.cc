#include "qemu/held.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gantry::qemu {
namespace {

using testing::HasSubstr;

constexpr const char* kVm = "vm-4f7k2m9qzt3x";

TEST(Held, NamesTheDiskThatIsFull) {
  const auto problem = why_held(kVm, "io-error",
                                R"([{"device":"","io-status":"ok","inserted":{"file":"/p/vol-1.qcow2"}},)"
                                R"({"device":"","inserted":{"file":"/p/seed.iso"}},)"
                                R"({"device":"","io-status":"nospace","inserted":{"file":"/p/vol-2.qcow2"}}])");
  EXPECT_EQ(problem.code(), "disk_full");
  EXPECT_THAT(problem.summary(), HasSubstr(kVm));
  EXPECT_THAT(problem.summary(), HasSubstr("its disk vol-2 "));
  EXPECT_THAT(problem.cause(), HasSubstr("no space left on the file system of its pool (/p/vol-2.qcow2)"));
  EXPECT_EQ(problem.next_step(), "free some space there: the guest goes on by itself");
}

TEST(Held, IsToldEvenIfTheDiskIsNotKnown) {
  for (const char* blocks :
       {"", "{", "[1, {}, {\"io-status\":\"nospace\"}]", "[{\"io-status\":\"nospace\",\"inserted\":1}]"}) {
    const auto problem = why_held(kVm, "io-error", blocks);
    EXPECT_EQ(problem.code(), "disk_full");
    EXPECT_THAT(problem.summary(), HasSubstr("one of its disks"));
  }
}

TEST(Held, CutsNamesThatAreNoNames) {
  const std::string name(1'000'000, 'x');
  const auto problem =
      why_held(kVm, "io-error", R"([{"io-status":"nospace","inserted":{"file":"/p/\u001b)" + name + R"("}}])");
  EXPECT_LT(problem.ByteSizeLong(), 1'500U);
  EXPECT_THAT(problem.cause(), HasSubstr("(/p/?xxx"));
}

TEST(Held, TellsWhatQemuDidFromWhatWasAskedFor) {
  EXPECT_EQ(why_held(kVm, "internal-error", "").code(), "guest_stopped");
  for (const char* state : {"running", "paused", "prelaunch", ""}) EXPECT_EQ(why_held(kVm, state, "").code(), "");
}

}  // namespace
}  // namespace gantry::qemu
