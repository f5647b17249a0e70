#include "qemu/accelerator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>

#include <cerrno>
#include <fstream>
#include <iterator>

namespace gantry::qemu {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;
using Step = AcceleratorLoopReport::Step;

AcceleratorLoopReport finished(std::int64_t native_us, std::int64_t guest_us) {
  return {.step = Step::finished, .turns = kAcceleratorLoopTurns, .native_us = native_us, .guest_us = guest_us};
}

AcceleratorLoopReport stopped(Step step, int error_number) { return {.step = step, .error_number = error_number}; }

TEST(Accelerator, IsKvmAtAProcessorsSpeed) {
  const AcceleratorChoice choice = choose_accelerator(finished(2'700, 2'900), "/dev/kvm");
  EXPECT_EQ(choice.accelerator, "kvm");
  EXPECT_EQ(choice.reason,
            "KVM works: its guest made 10000000 turns of a loop in 2.9 ms, this processor itself needs 2.7 ms "
            "for 10000000");
}

TEST(Accelerator, IsKvmOnASlowProcessorToo) {
  EXPECT_EQ(choose_accelerator(finished(48'500, 73'200), "/dev/kvm").accelerator, "kvm");
}

// Seen in a guest of a guest beside twenty compilers: the time was over, but what ran, ran at speed.
TEST(Accelerator, IsKvmOnABusyMachineToo) {
  EXPECT_EQ(
      choose_accelerator({.step = Step::run, .turns = 6'662'751, .native_us = 237'500, .guest_us = 249'700}, "kvm")
          .accelerator,
      "kvm");
  const AcceleratorChoice nothing_seen =
      choose_accelerator({.step = Step::run, .turns = 10, .native_us = 237'500, .guest_us = 1'000}, "/dev/kvm");
  EXPECT_EQ(nothing_seen.accelerator, "tcg");
  EXPECT_THAT(nothing_seen.reason, HasSubstr("busy machine"));
}

TEST(Accelerator, IsTcgWhenTheLoopIsEmulated) {
  EXPECT_EQ(choose_accelerator(finished(2'700, 900'000), "/dev/kvm").accelerator, "tcg");
  const AcceleratorChoice choice =
      choose_accelerator({.step = Step::run, .turns = 422'715, .native_us = 2'700, .guest_us = 998'100}, "/dev/kvm");
  EXPECT_EQ(choice.accelerator, "tcg");
  EXPECT_THAT(choice.reason,
              HasSubstr("422715 turns of a loop in 998.1 ms, this processor itself needs 2.7 ms for 10000000"));
}

TEST(Accelerator, IsTcgWhenKvmFails) {
  const auto reason = [](const AcceleratorLoopReport& report) {
    const AcceleratorChoice choice = choose_accelerator(report, "/dev/kvm");
    EXPECT_EQ(choice.accelerator, "tcg");
    return choice.reason;
  };
  EXPECT_THAT(reason(stopped(Step::open_device, ENOENT)), HasSubstr("is not there"));
  EXPECT_THAT(reason(stopped(Step::open_device, ENODEV)), HasSubstr("no driver"));
  EXPECT_THAT(reason(stopped(Step::open_device, EACCES)), HasSubstr("no permission"));
  EXPECT_THAT(reason(stopped(Step::open_device, EIO)), HasSubstr("cannot be opened: Input/output error"));
  EXPECT_THAT(reason(stopped(Step::create_vm, EBUSY)), HasSubstr("to make a guest: Device or resource busy"));
  EXPECT_THAT(reason(stopped(Step::create_vm, 0)), HasSubstr("to make a guest: it took too long"));
  EXPECT_THAT(reason(stopped(Step::run, EFAULT)), HasSubstr("to run the guest: Bad address"));
  EXPECT_THAT(reason({.step = Step::get_api_version, .api_version = 11}), HasSubstr("version 11"));
  EXPECT_THAT(reason({.step = Step::run, .exit_reason = KVM_EXIT_SHUTDOWN}), HasSubstr("exit reason 8"));
}

TEST(AcceleratorProbe, SaysThatTheDeviceIsMissing) {
  const AcceleratorChoice choice = probe_accelerator({.device = "/dev/no-such-kvm"});
  EXPECT_EQ(choice.accelerator, "tcg");
  EXPECT_THAT(choice.reason, StartsWith("/dev/no-such-kvm is not there"));
}

TEST(AcceleratorProbe, SaysThatTheDeviceIsAnother) {
  const AcceleratorChoice choice = probe_accelerator({.device = "/dev/null"});
  EXPECT_EQ(choice.accelerator, "tcg");
  EXPECT_THAT(choice.reason, AllOf(HasSubstr("KVM failed to tell its version"), HasSubstr("Inappropriate ioctl")));
}

// The processes this thread has made, ended ones among them.
std::string children() {
  std::ifstream file("/proc/thread-self/children");
  return {std::istreambuf_iterator<char>(file), {}};
}

// Whatever this machine is: one of the two, with a reason, and no child left behind.
TEST(AcceleratorProbe, DecidesOnThisMachine) {
  const std::string before = children();
  const AcceleratorChoice choice = probe_accelerator();
  EXPECT_THAT(choice.accelerator, AnyOf("kvm", "tcg"));
  EXPECT_THAT(choice.reason, testing::Not(testing::IsEmpty()));
  EXPECT_EQ(children(), before);
}

TEST(AcceleratorProbe, KeepsAShortDeadline) {
  const AcceleratorChoice choice = probe_accelerator({.deadline_ms = 0});
  EXPECT_EQ(choice.accelerator, "tcg") << choice.reason;
}

}  // namespace
}  // namespace gantry::qemu
