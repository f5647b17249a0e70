// Moves of a guest that goes on before all of its memory has come, by real QEMU processes under TCG.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>

#include <algorithm>
#include <fstream>

#include "qemu/busy_guest.h"
#include "qemu/move_fixture.h"
#include "qemu/postcopy_support.h"

namespace gantry::qemu {
namespace {

using State = port::GuestObservation::State;
using testing::HasSubstr;

constexpr const char* kSetting = "/proc/sys/vm/unprivileged_userfaultfd";
// Slower than the guest changes its memory, so that much of it is left to be fetched.
constexpr std::uint64_t kOutrun = 5U << 20U;

std::string setting() {
  std::string value;
  std::getline(std::ifstream(kSetting) >> std::ws, value);
  return value;
}

// The machine's, while the lock is held that other tests of the same ask for too.
class PostcopySetting {
 public:
  explicit PostcopySetting(const std::string& value) : before_(setting()) {
    EXPECT_EQ(::flock(lock_.get(), LOCK_EX), 0);
    before_ = setting();
    set(value);
  }
  ~PostcopySetting() { set(before_); }
  PostcopySetting(const PostcopySetting&) = delete;
  PostcopySetting& operator=(const PostcopySetting&) = delete;

 private:
  static void set(const std::string& value) {
    std::ofstream(kSetting) << value << "\n";
    EXPECT_EQ(setting(), value);
  }

  UniqueFd lock_{::open("/tmp/gantry-test-userfaultfd.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  std::string before_;
};

class PostcopyTest : public MoveTest {
 protected:
  void make_disk() override { std::ofstream(disk_) << busy_guest_disk(); }
  bool begins() override { return passes(*agent_) && passes(*agent_); }

  // It goes through all of its memory, and that is as it left it.
  static bool passes(Agent& agent, const std::string& vm_id) {
    Screen screen(agent.consoles(), vm_id);
    return screen.shows("...") && screen.text().find('X') == std::string::npos;
  }
  [[nodiscard]] bool passes(Agent& agent) const { return passes(agent, vm_); }

  // It went, and goes on here by nobody's word.
  void begin_fetching(std::uint64_t bytes_per_second_max) {
    const auto address = target_->receive_by(guest("task-1"), kTerms);
    ASSERT_TRUE(address) << address.error().to_text();
    const auto sent = begin_sending_by(kTerms, *address, bytes_per_second_max).get();
    ASSERT_TRUE(sent) << sent.error().to_text();
    EXPECT_EQ(agent_->last(vm_).state, State::sent);
    ASSERT_TRUE(target_->reaches(vm_, State::received));
  }
  bool fetches(Agent& agent) { return agent.last(vm_).fetching; }
  void expect_whole_there() {
    EXPECT_TRUE(becomes([&] { return !fetches(*target_); }));
    EXPECT_TRUE(becomes([&] { return !fetches(*agent_); }));
    EXPECT_EQ(agent_->last(vm_).state, State::sent);
    ASSERT_TRUE(agent_->kill(vm_));
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(passes(*target_)) << other_directory().console_tail(200);
  }

  const port::MoveTerms kTerms = {.postcopy = true};
  PostcopySetting allowed_{"1"};
};

TEST_F(PostcopyTest, AGuestGoesOnBeforeItsMemoryIsThereAndFindsAllOfIt) {
  begin_fetching(kOutrun);
  EXPECT_TRUE(fetches(*agent_));
  EXPECT_TRUE(fetches(*target_));
  ASSERT_TRUE(target_->take_over(vm_, true));
  EXPECT_EQ(target_->last(vm_).state, State::running);
  EXPECT_TRUE(fetches(*target_)) << "all was there before it went on";
  expect_whole_there();
}

TEST_F(PostcopyTest, LosesNothingAgainAndAgain) {
  for (const std::uint64_t bytes_per_second : {8U << 20U, 16U << 20U, 24U << 20U, 0U}) {
    begin_fetching(bytes_per_second);
    ASSERT_TRUE(target_->take_over(vm_, true));
    expect_whole_there();
    std::swap(agent_, target_);
    std::swap(state_, other_state_);
  }
}

TEST_F(PostcopyTest, ItEndsThereWhenWhatItMissesIsGone) {
  begin_fetching(kSlow);
  ASSERT_TRUE(target_->take_over(vm_, true));
  ASSERT_TRUE(fetches(*target_));
  const auto record = directory().load();
  ASSERT_TRUE(record);
  ASSERT_EQ(::kill(record->pid, SIGKILL), 0);
  ASSERT_TRUE(target_->reaches(vm_, State::ended));
  EXPECT_EQ(target_->last(vm_).exit.reason(), v1::VmExit::CRASH);
  EXPECT_THAT(target_->last(vm_).exit.last_words(), HasSubstr("memory could not be fetched"));
}

TEST_F(PostcopyTest, ItsSourceEndsWhenTheTargetIsGone) {
  begin_fetching(kSlow);
  ASSERT_TRUE(target_->take_over(vm_, true));
  ASSERT_TRUE(fetches(*agent_));
  ASSERT_EQ(::kill(other_pid(), SIGKILL), 0);
  EXPECT_TRUE(agent_->reaches(vm_, State::ended)) << "it has part of it alone";
  EXPECT_TRUE(target_->reaches(vm_, State::ended));
}

TEST_F(PostcopyTest, ItCanBeTakenBackWhileItDoesNotRunThere) {
  begin_fetching(kSlow);
  ASSERT_TRUE(fetches(*agent_));
  // The target's process has its disk open until it finds that nothing more comes, and is ended.
  bool taken = false;
  EXPECT_TRUE(becomes([&] { return taken = taken || agent_->take_over(vm_, true).has_value(); }));
  EXPECT_TRUE(agent_->reaches(vm_, State::running));
  EXPECT_TRUE(target_->reaches(vm_, State::absent));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(passes(*agent_));
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).state, State::running) << "what was taken back serves nobody";
}

TEST_F(PostcopyTest, AgentsThatComeBackMeanwhileKnowThatItFetches) {
  begin_fetching(kOutrun);
  ASSERT_TRUE(target_->take_over(vm_, true));
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).state, State::sent);
  EXPECT_TRUE(fetches(*agent_));
  target_ = nullptr;
  target_ = std::make_unique<Agent>(other_state_);
  EXPECT_EQ(target_->last(vm_).state, State::running);
  EXPECT_TRUE(fetches(*target_));
  expect_whole_there();
}

TEST_F(PostcopyTest, AnAgentThatWasKilledBeforeItWroteThatItGoesOnHereKnowsThatItFetches) {
  begin_fetching(kOutrun);
  ASSERT_TRUE(target_->take_over(vm_, true));
  target_ = nullptr;
  auto record = other_directory().load();
  ASSERT_TRUE(record);
  record->phase = GuestRecord::Phase::receiving;
  ASSERT_TRUE(other_directory().save(*record));
  target_ = std::make_unique<Agent>(other_state_);
  EXPECT_EQ(target_->last(vm_).state, State::running);
  EXPECT_TRUE(fetches(*target_));
  expect_whole_there();
}

TEST_F(PostcopyTest, AnAgentThatFindsItsSourceFrozenKnowsThatItServes) {
  begin_fetching(kOutrun);
  ASSERT_TRUE(target_->take_over(vm_, true));
  ASSERT_TRUE(becomes([&] { return directory().load()->serves; }));
  const pid_t source = directory().load()->pid;
  ASSERT_EQ(::kill(source, SIGSTOP), 0);
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).state, State::sent);
  EXPECT_TRUE(fetches(*agent_));
  ASSERT_EQ(::kill(source, SIGCONT), 0);
  expect_whole_there();
}

TEST_F(PostcopyTest, OneThatAnAgentBeforeLeftBrokenIsEnded) {
  begin_fetching(kSlow);
  ASSERT_TRUE(target_->take_over(vm_, true));
  target_ = nullptr;
  ASSERT_TRUE(agent_->kill(vm_));
  target_ = std::make_unique<Agent>(other_state_);
  EXPECT_TRUE(target_->reaches(vm_, State::ended));
  EXPECT_EQ(target_->last(vm_).exit.reason(), v1::VmExit::CRASH);
}

class ForbiddenPostcopyTest : public MoveTest {
  PostcopySetting forbidden_{"0"};
};

TEST_F(ForbiddenPostcopyTest, IsSeenBeforeAndByQemuItself) {
  EXPECT_THAT(postcopy_problem(), HasSubstr("sysctl vm.unprivileged_userfaultfd=1"));
  const auto address = target_->receive_by(guest("task-1"), {.postcopy = true});
  ASSERT_FALSE(address);
  EXPECT_THAT(address.error().to_text(), HasSubstr("ostcopy"));
}

TEST_F(PostcopyTest, IsPossibleHere) { EXPECT_EQ(postcopy_problem(), ""); }

}  // namespace
}  // namespace gantry::qemu
