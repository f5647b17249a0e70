#include "qemu/host_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "runtime/event_loop.h"

namespace gantry::qemu {
namespace {

using testing::IsEmpty;
using testing::Not;

TEST(HostFacts, AreReadFromTheSystemsTexts) {
  EXPECT_EQ(cpu_model_in("processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n\nmodel name\t: other\n"), "AMD EPYC");
  EXPECT_EQ(cpu_model_in(""), "");
  const char* const meminfo = "MemTotal:       24684096 kB\nMemFree: 1 kB\nMemAvailable:   24188940 kB";
  EXPECT_EQ(memory_bytes_in(meminfo, "MemTotal"), 24'684'096ULL * 1024);
  EXPECT_EQ(memory_bytes_in(meminfo, "MemAvailable"), 24'188'940ULL * 1024);
  EXPECT_EQ(memory_bytes_in(meminfo, "Mem"), 0U);
  EXPECT_EQ(operating_system_in("NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)");
  EXPECT_EQ(operating_system_in("PRETTY_NAME=\"\"\nNAME=Alpine\n"), "Alpine");
  EXPECT_EQ(qemu_version_in("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright (c) 2003\n"),
            "7.2.22 (Debian 1:7.2)");
  EXPECT_EQ(qemu_version_in("something else"), "");
}

v1::HostStatus facts_of_this_machine(HostFactsOptions options) {
  runtime::EventLoop loop;
  runtime::WorkerPool pool(1);
  MachineFacts facts(loop, pool, std::move(options));
  v1::HostStatus seen;
  loop.post([&] {
    facts.probe([&](const v1::HostStatus& status) {
      seen = status;
      loop.stop();
    });
  });
  loop.run();
  return seen;
}

TEST(HostFacts, DescribeThisMachine) {
  const v1::HostStatus facts = facts_of_this_machine({.accelerator = AcceleratorChoice{"tcg", "a test"}});
  EXPECT_THAT(facts.version(), Not(IsEmpty()));
  EXPECT_THAT(facts.kernel(), Not(IsEmpty()));
  EXPECT_THAT(facts.operating_system(), Not(IsEmpty()));
  EXPECT_EQ(facts.cpus(), static_cast<std::uint32_t>(::sysconf(_SC_NPROCESSORS_ONLN)));
  EXPECT_GT(facts.memory_bytes(), 1U << 20U);
  EXPECT_LE(facts.memory_available_bytes(), facts.memory_bytes());
  EXPECT_THAT(facts.qemu_version(), testing::MatchesRegex("[0-9]+\\.[0-9]+.*"));
  EXPECT_EQ(facts.accelerator(), "tcg");
  EXPECT_EQ(facts.accelerator_reason(), "a test");
  EXPECT_EQ(facts.state(), v1::HostStatus::UNKNOWN) << "is not for the host to say";
}

TEST(HostFacts, DoWithoutQemu) {
  const v1::HostStatus facts =
      facts_of_this_machine({.qemu_program = "no-such-qemu", .accelerator = AcceleratorChoice{"tcg", "a test"}});
  EXPECT_EQ(facts.qemu_version(), "");
  EXPECT_GT(facts.cpus(), 0U);
}

TEST(HostFacts, ProbeTheAcceleratorOnce) {
  runtime::EventLoop loop;
  runtime::WorkerPool pool(2);
  MachineFacts facts(loop, pool);
  std::vector<v1::HostStatus> seen;
  const auto take = [&](const v1::HostStatus& status) {
    seen.push_back(status);
    if (seen.size() == 3) loop.stop();
  };
  loop.post([&] {
    for (int i = 0; i < 3; ++i) facts.probe(take);
  });
  loop.run();
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_THAT(seen[0].accelerator(), testing::AnyOf("kvm", "tcg"));
  // A second probe would have measured something else.
  EXPECT_EQ(seen[1].accelerator_reason(), seen[0].accelerator_reason());
  EXPECT_EQ(seen[2].accelerator_reason(), seen[0].accelerator_reason());
}

TEST(HostFacts, ThatHaveEndedAnswerNoMore) {
  runtime::EventLoop loop;
  auto pool = std::make_unique<runtime::WorkerPool>(1);
  auto facts =
      std::make_unique<MachineFacts>(loop, *pool, HostFactsOptions{.accelerator = AcceleratorChoice{"tcg", "a test"}});
  facts->probe([](const v1::HostStatus&) { FAIL() << "answered after the end"; });
  facts.reset();
  pool->submit([&loop] { loop.post([&loop] { loop.stop(); }); });
  loop.run();
}

}  // namespace
}  // namespace gantry::qemu
