#include "qemu/guest_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "qemu/exit_cause.h"

namespace gantry::qemu {
namespace {

using testing::HasSubstr;

TEST(GuestRecord, ComesBackAsItWasWritten) {
  GuestRecord record{.vm_id = "vm-4f7k2m9qzt3x", .boot_id = "task-1", .phase = GuestRecord::Phase::resetting};
  record.reset_id = "task-2";
  record.reset_wanted = "task-3";
  record.resume_after_reset = true;
  record.reset_given_up = true;
  record.pid = 4711;
  record.pid_start_ticks = 123456789012345;
  record.machine_boot_id = "uuid";
  record.forced = true;
  record.accelerator = "tcg";
  record.started_unix_ms = 1700000000123;
  record.cpus = 3;
  record.memory_mib = 384;
  record.serves = true;
  record.exit.set_reason(v1::VmExit::CRASH);
  record.exit.set_boot_id("task-1");
  record.exit.set_last_words("last \xff words");
  record.exit.mutable_at()->set_seconds(17);
  record.disk_copy = {
      .phase = DiskCopyNote::Phase::switching, .id = "task-4", .index = 2, .from = "disk2", .to = "vol-1"};
  const auto back = parse_guest_record(to_text(record));
  ASSERT_TRUE(back) << back.error().to_text();
  EXPECT_EQ(to_text(*back), to_text(record));
  EXPECT_TRUE(back->reset_given_up);
  EXPECT_TRUE(back->serves);
  EXPECT_EQ(back->pid_start_ticks, record.pid_start_ticks);
  EXPECT_EQ(back->exit.reason(), v1::VmExit::CRASH);
  EXPECT_EQ(back->disk_copy.phase, DiskCopyNote::Phase::switching);
  EXPECT_EQ(back->disk_copy.to, "vol-1");
}

TEST(GuestRecord, RefusesDamage) {
  for (const char* text : {"", "[]", "{}", R"({"version":1})", R"({"version":1,"vm_id":3})",
                           R"({"version":2,"vm_id":"a","boot_id":"b","phase":"running"})",
                           R"({"version":1,"vm_id":"a","boot_id":"b","phase":"dancing"})",
                           R"({"version":1,"vm_id":"a","boot_id":"b","phase":"running","disk_copy":{"phase":"dancing",)"
                           R"("id":"c","index":0,"from":"d","to":"e"}})",
                           R"({"version":1,"vm_id":"a","boot_id":"b","phase":"running","disk_copy":{"phase":1}})"}) {
    const auto record = parse_guest_record(text);
    ASSERT_FALSE(record) << text;
    EXPECT_EQ(record.error().code, ErrorCode::corrupt);
  }
}

constexpr const char* kRan = "runstate_set current_run_state 6 (prelaunch) new_state 9 (running)\n";

TEST(ExitCause, TellsShutdownFromCrashByWhatQemuWrote) {
  EXPECT_EQ(judge_exit({.error_output = std::string(kRan) + "qemu_system_shutdown_request reason=6\n"}).reason(),
            v1::VmExit::GUEST_SHUTDOWN);
  const auto panic = judge_exit({.error_output = "qemu_system_shutdown_request reason=8\n", .ran = true});
  EXPECT_EQ(panic.reason(), v1::VmExit::CRASH);
  EXPECT_THAT(panic.last_words(), HasSubstr("panicked"));
  const auto crash = judge_exit({.error_output = kRan, .wait_status = SIGSEGV});
  EXPECT_EQ(crash.reason(), v1::VmExit::CRASH);
  EXPECT_THAT(crash.last_words(), HasSubstr("signal 11"));
  EXPECT_EQ(judge_exit({.error_output = kRan, .forced = true}).reason(), v1::VmExit::FORCED);
}

TEST(ExitCause, GivesTheLastWordsOfAFailedStart) {
  const auto exit = judge_exit({.error_output = "qemu: no such \x1b[31m disk\n", .wait_status = 1 << 8});
  EXPECT_EQ(exit.reason(), v1::VmExit::START_FAILED);
  EXPECT_THAT(exit.last_words(), HasSubstr("no such ?[31m disk\nthe QEMU process ended with status 1"));
  EXPECT_FALSE(judge_exit({}).last_words().empty());
  EXPECT_LT(last_words(std::string(100000, 'x')).size(), 1100U);
}

}  // namespace
}  // namespace gantry::qemu
