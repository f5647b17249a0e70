#include "qemu/host_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "qemu/cpu_models.h"
#include "qemu/numa_nodes.h"
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
  EXPECT_EQ(memory_bytes_in(meminfo, "Mem"), std::nullopt);
  EXPECT_EQ(operating_system_in("NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)");
  EXPECT_EQ(operating_system_in("PRETTY_NAME=\"\"\nNAME=Alpine\n"), "Alpine");
  EXPECT_EQ(version_in("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright (c) 2003\n"), "7.2.22 (Debian 1:7.2)");
  EXPECT_EQ(version_in("TPM emulator version 0.7.1, Copyright (c) 2014-2021 IBM Corp.\n"), "0.7.1");
  EXPECT_EQ(version_in("something else"), "");
}

TEST(HostFacts, ProcessorsAreThoseThatQemuCanGiveWhole) {
  const auto models = cpu_models_in(
      "{\"QMP\": {}}\r\n{\"return\": {}}\r\nnot json\n"
      R"({"return": [{"name": "Westmere", "unavailable-features": [], "migration-safe": true},)"
      R"( {"name": "max", "unavailable-features": [], "migration-safe": false},)"
      R"( {"name": "Haswell", "unavailable-features": ["pcid"], "migration-safe": true},)"
      R"( {"name": 7, "unavailable-features": [], "migration-safe": true}, 5,)"
      R"( {"name": "Nehalem", "unavailable-features": [], "migration-safe": true}]})"
      "\n");
  ASSERT_TRUE(models) << models.error().to_text();
  EXPECT_THAT(*models, testing::ElementsAre("Nehalem", "Westmere"));
  EXPECT_FALSE(cpu_models_in("{\"return\": {}}\n"));
  EXPECT_FALSE(cpu_models_in(""));
}

TEST(HostFacts, NumaNodesAreReadFromTheSystemsTexts) {
  EXPECT_EQ(count_in("0-3,8,10-11\n"), 7U);
  EXPECT_EQ(count_in("\n"), 0U);
  EXPECT_EQ(count_in("5-2"), 0U);
  std::string pattern = std::filesystem::temp_directory_path() / "gantry-numa-XXXXXX";
  const std::filesystem::path directory = ::mkdtemp(pattern.data());
  for (const char* name : {"node1", "node0", "node", "nodex", "possible"}) {
    std::filesystem::create_directory(directory / name);
    std::ofstream(directory / name / "cpulist") << "0-1\n";
    std::ofstream(directory / name / "meminfo") << "Node 1 MemTotal:       2048 kB\nNode 1 MemFree: 1 kB\n";
  }
  const auto nodes = numa_nodes(directory);
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0].id(), 0U);
  EXPECT_EQ(nodes[0].memory_bytes(), 0U) << "the text is another node's";
  EXPECT_EQ(nodes[1].cpus(), 2U);
  EXPECT_EQ(nodes[1].memory_bytes(), 2048U * 1024);
  EXPECT_TRUE(numa_nodes(directory / "nothing").empty());
  std::filesystem::remove_all(directory);
}

TEST(HostFacts, WhatIsWrongWithTheMachineIsTold) {
  constexpr std::uint64_t kGib = 1ULL << 30U;
  MachineHealth health{.memory_bytes = 64 * kGib, .memory_available_bytes = 32 * kGib, .disk_bytes = 100 * kGib};
  health.disk_available_bytes = 6 * kGib;
  EXPECT_TRUE(problems_in(health).empty());
  health.disk_available_bytes = kGib;
  health.memory_available_bytes = kGib;
  const auto problems = problems_in(health);
  ASSERT_EQ(problems.size(), 2U);
  EXPECT_EQ(problems[0].code(), "disk_nearly_full");
  EXPECT_EQ(problems[1].code(), "memory_low");
  for (const v1::Problem& problem : problems) EXPECT_FALSE(problem.next_step().empty());
  EXPECT_TRUE(problems_in({}).empty()) << "what is not known is not wrong";
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
  const v1::HostStatus facts = facts_of_this_machine(
      {.accelerator = AcceleratorChoice{"tcg", "a test"}, .address = [] { return std::string("192.0.2.1"); }});
  EXPECT_THAT(facts.version(), Not(IsEmpty()));
  EXPECT_THAT(facts.kernel(), Not(IsEmpty()));
  EXPECT_THAT(facts.operating_system(), Not(IsEmpty()));
  EXPECT_EQ(facts.cpus(), static_cast<std::uint32_t>(::sysconf(_SC_NPROCESSORS_ONLN)));
  EXPECT_GT(facts.memory_bytes(), 1U << 20U);
  EXPECT_LE(facts.memory_available_bytes(), facts.memory_bytes());
  EXPECT_THAT(facts.qemu_version(), testing::MatchesRegex("[0-9]+\\.[0-9]+.*"));
  EXPECT_EQ(facts.accelerator(), "tcg");
  EXPECT_EQ(facts.accelerator_reason(), "a test");
  EXPECT_THAT(facts.cpu_models(), testing::Contains("qemu64"));
  EXPECT_THAT(facts.cpu_models(), Not(testing::Contains("max")));
  EXPECT_EQ(facts.address(), "192.0.2.1");
  EXPECT_EQ(facts.state(), v1::HostStatus::UNKNOWN) << "is not for the host to say";
}

TEST(HostFacts, DoWithoutQemu) {
  const v1::HostStatus facts =
      facts_of_this_machine({.qemu_program = "no-such-qemu", .accelerator = AcceleratorChoice{"tcg", "a test"}});
  EXPECT_EQ(facts.qemu_version(), "");
  EXPECT_TRUE(facts.cpu_models().empty());
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
