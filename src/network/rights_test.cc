// What can be done to a host's network is tried, not guessed.
#include "network/rights.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "model/uid.h"
#include "network/links.h"
#include "network/rules.h"
#include "network/test_namespace.h"

namespace gantry::network {
namespace {

TEST(Rights, TryingLeavesNothingEvenOfATryThatWasCutShort) {
  std::thread([] {
    enter_new_namespace();
    for (const auto kind : {v1::NetworkSpec::NAT, v1::NetworkSpec::BRIDGE}) EXPECT_EQ(why_not(kind), "");
    EXPECT_EQ(link_names(), std::vector<std::string>{"lo"});
    EXPECT_TRUE(make_bridge("gn-probe", "02:67:00:00:00:00"));
    EXPECT_EQ(why_not(v1::NetworkSpec::NAT), "");
    EXPECT_EQ(link_names(), std::vector<std::string>{"lo"});
    EXPECT_EQ(must_run({"nft", "list", "ruleset"}), "");
  }).join();
}

constexpr int kOtherThreads = 2;

// As in a container that shares the host's network: all capabilities, of a user namespace that owns another one.
TEST(Rights, ACapabilityThatIsNotOfThisNetworkIsNone) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNET) != 0) ::_exit(1);
    if (::unshare(CLONE_NEWUSER) != 0) ::_exit(errno == EINVAL ? kOtherThreads : 1);
    const std::string why = why_not(v1::NetworkSpec::NAT);
    ::_exit(::write(ends[1], why.data(), why.size()) == static_cast<ssize_t>(why.size()) ? 0 : 1);
  }
  write_end.reset();
  std::array<char, 1000> buffer{};
  const ssize_t size = ::read(read_end.get(), buffer.data(), buffer.size());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kOtherThreads) GTEST_SKIP() << "a sanitizer's own thread forbids it";
  EXPECT_EQ(status, 0);
  const std::string why(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  EXPECT_NE(why.find("ermi"), std::string::npos) << why;
}

// Connects as that user; what connect() answered: 0 or an errno.
int connect_as(std::uint32_t uid, std::uint16_t port) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresuid(uid, uid, uid) != 0) ::_exit(255);
    ::_exit(connects("127.0.0.1", port) ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

TEST(LoopbackGuard, KeepsGuestsFromTheLoopbackButNotFromAnsweringThere) {
  std::thread([] {
    enter_new_namespace();
    const std::uint32_t guest = model::guest_uid("vm-4f7k2m9qzt3x");
    const Listener service("127.0.0.1");
    const Listener resolver("127.0.0.1", 53);
    EXPECT_EQ(connect_as(guest, service.port), 0);
    must_run({"nft", "-f", "-"}, loopback_guard());
    EXPECT_EQ(connect_as(guest, service.port), 1);
    EXPECT_EQ(connect_as(guest, resolver.port), 0);
    EXPECT_EQ(connect_as(model::kGuestUidFirst - 1, service.port), 0);
    EXPECT_TRUE(connects("127.0.0.1", service.port));
    // A forwarded port: the guest's process listens, and somebody on the host connects to it.
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const pid_t listening = ::fork();
    if (listening == 0) {
      if (::setresuid(guest, guest, guest) != 0) ::_exit(255);
      const Listener forwarded("127.0.0.1");
      if (::write(ends[1], &forwarded.port, sizeof forwarded.port) < 0) ::_exit(255);
      ::_exit(forwarded.accept(30'000) == "127.0.0.1" ? 0 : 1);
    }
    std::uint16_t port = 0;
    ASSERT_EQ(::read(ends[0], &port, sizeof port), static_cast<ssize_t>(sizeof port));
    EXPECT_TRUE(connects("127.0.0.1", port));
    int status = 0;
    ::waitpid(listening, &status, 0);
    EXPECT_EQ(status, 0);
    must_run({"nft", "-f", "-"}, loopback_guard_removal());
    EXPECT_EQ(connect_as(guest, service.port), 0);
  }).join();
}

}  // namespace
}  // namespace gantry::network
