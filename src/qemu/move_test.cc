// Moves between two agents, each with its own state directory, by real QEMU processes under TCG.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "qemu/move_fixture.h"
#include "qemu/move_in.h"
#include "qemu/move_keys.h"

namespace gantry::qemu {
namespace {

using State = port::GuestObservation::State;
using testing::HasSubstr;

TEST_F(MoveTest, AGuestGoesOnWhereItWasSentWithItsSharedDisk) {
  const auto address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address) << address.error().to_text();
  EXPECT_EQ(address->disk_port(), 0);
  EXPECT_EQ(target_->last(vm_).state, State::receiving);
  const auto sent = send(*address);
  ASSERT_TRUE(sent) << sent.error().to_text();
  EXPECT_EQ(agent_->last(vm_).state, State::sent);
  EXPECT_GT(progress().bytes_sent, 0U);
  EXPECT_GT(progress().total_ms, 0);
  ASSERT_TRUE(target_->reaches(vm_, State::received));
  expect_no_keys();
  const auto taken = target_->take_over(vm_, true);
  ASSERT_TRUE(taken) << taken.error().to_text();
  EXPECT_EQ(target_->last(vm_).state, State::running);
  EXPECT_EQ(target_->last(vm_).boot_id, "task-1");
  ASSERT_TRUE(agent_->kill(vm_));
  lives(*target_);
  Screen screen(target_->consoles(), vm_);
  screen.type("w");
  EXPECT_TRUE(screen.shows("W")) << "it cannot write its disk";
  // It did not boot again.
  EXPECT_EQ(other_directory().console_tail(4096).find('B'), std::string::npos);
}

TEST_F(MoveTest, SeveralConnectionsTakeItsMemoryAndItsDisk) {
  const port::MoveTerms terms{.copied_disks = {0}, .connections = 4};
  const auto address = target_->receive_by(with_disk_of_its_own(), terms);
  ASSERT_TRUE(address) << address.error().to_text();
  const auto sent = begin_sending_by(terms, *address).get();
  ASSERT_TRUE(sent) << sent.error().to_text();
  ASSERT_TRUE(target_->reaches(vm_, State::received));
  ASSERT_TRUE(target_->take_over(vm_, true));
  ASSERT_TRUE(agent_->kill(vm_));
  lives(*target_);
  // Over one.
  goes_back();
}

TEST_F(MoveTest, SeveralConnectionsAreCancelledAndGivenUpAsOneIs) {
  const port::MoveTerms terms{.connections = 4};
  auto address = target_->receive_by(guest("task-1"), terms);
  ASSERT_TRUE(address) << address.error().to_text();
  auto sending = begin_sending_by(terms, *address, kSlow);
  ASSERT_TRUE(becomes([&] { return progress().bytes_sent > 0; }));
  agent_->loop().post([&] { agent_->hypervisor().stop_sending(vm_); });
  const auto cancelled = sending.get();
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
  EXPECT_TRUE(agent_->reaches(vm_, State::running));
  ASSERT_TRUE(target_->kill(vm_));
  address = target_->receive_by(guest("task-1"), terms);
  ASSERT_TRUE(address) << address.error().to_text();
  ASSERT_EQ(::kill(other_pid(), SIGSTOP), 0);
  const auto sent = begin_sending_by(terms, *address).get();
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().cause, HasSubstr("does not answer"));
  lives(*agent_);
}

TEST_F(MoveTest, AGuestThatCameGoesBack) {
  const auto there = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(there) << there.error().to_text();
  ASSERT_TRUE(send(*there));
  ASSERT_TRUE(target_->reaches(vm_, State::received));
  ASSERT_TRUE(target_->take_over(vm_, true));
  ASSERT_TRUE(agent_->kill(vm_));
  goes_back();
}

TEST_F(MoveTest, ItsDiskGoesWithItWhereItIsNotShared) {
  Screen before(agent_->consoles(), vm_);
  before.type("w");
  ASSERT_TRUE(before.shows("W"));
  const auto definition = with_disk_of_its_own();
  const auto address = target_->receive(definition, {0});
  ASSERT_TRUE(address) << address.error().to_text();
  EXPECT_NE(address->disk_port(), 0);
  const auto sent = send(*address, {0});
  ASSERT_TRUE(sent) << sent.error().to_text();
  ASSERT_TRUE(target_->reaches(vm_, State::received));
  ASSERT_TRUE(target_->take_over(vm_, true));
  lives(*target_);
  EXPECT_EQ(runtime::read_file(definition.disks[0].path).value_or("a"), runtime::read_file(disk_).value_or("b"));
  // What it writes now goes to the copy alone.
  ASSERT_TRUE(agent_->kill(vm_));
  std::filesystem::remove(disk_);
  Screen screen(target_->consoles(), vm_);
  screen.type("w");
  EXPECT_TRUE(screen.shows("W"));
}

TEST_F(MoveTest, AGuestThatCannotBeSentGoesOn) {
  auto address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address);
  auto wrong = *address;
  wrong.set_secret(std::string(64, '0'));
  const auto sent = send(wrong);
  ASSERT_FALSE(sent);
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  lives(*agent_);
  // The same target, or what is left of it, is no hindrance to another.
  ASSERT_TRUE(target_->kill(vm_));
  expect_no_keys();
  EXPECT_EQ(target_->last(vm_).state, State::absent);
  address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address) << address.error().to_text();
  ASSERT_TRUE(send(*address));
}

TEST_F(MoveTest, AStrangersConnectionDoesNoHarm) {
  const auto address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(address->port()));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  {
    const UniqueFd stranger(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(stranger.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    ASSERT_EQ(::write(stranger.get(), "hello", 5), 5);
  }
  // Either it waits still, or it is gone and the guest where it was.
  if (!send(*address)) {
    lives(*agent_);
    return;
  }
  ASSERT_TRUE(target_->reaches(vm_, State::received));
  ASSERT_TRUE(target_->take_over(vm_, true));
  lives(*target_);
}

TEST_F(MoveTest, ItGoesNowhereWithoutItsDisk) {
  const auto address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address);
  const auto sent = send(*address, {0});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().reason, "copy_failed") << sent.error().to_text();
  EXPECT_TRUE(agent_->reaches(vm_, State::running));
  lives(*agent_);
}

// Whatever the other host says: to write where nobody asked for it would be to give it the disk.
TEST_F(MoveTest, ADiskThatIsNotToBeCopiedGoesNowhere) {
  auto address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address);
  address->set_disk_port(kMovePortLast);
  const auto sent = send(*address);
  ASSERT_TRUE(sent) << sent.error().to_text();
  EXPECT_NE(progress().phase, "copying disks");
}

TEST_F(MoveTest, CancelledInTheMiddleItGoesOnWhereItWas) {
  const auto address = target_->receive(with_disk_of_its_own(), {0});
  ASSERT_TRUE(address);
  auto sending = begin_sending(*address, {0}, kSlow);
  ASSERT_TRUE(copies());
  agent_->loop().post([&] { agent_->hypervisor().stop_sending(vm_); });
  const auto sent = sending.get();
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::cancelled);
  EXPECT_TRUE(agent_->reaches(vm_, State::running));
  lives(*agent_);
  // Nothing is left that would hinder the next.
  ASSERT_TRUE(target_->kill(vm_));
  const auto again = target_->receive(with_disk_of_its_own(), {0});
  ASSERT_TRUE(again) << again.error().to_text();
  const auto sent_again = send(*again, {0});
  EXPECT_TRUE(sent_again) << sent_again.error().to_text();
}

TEST_F(MoveTest, ATargetKilledInTheMiddleLeavesTheGuestWhereItIs) {
  const auto address = target_->receive(with_disk_of_its_own(), {0});
  ASSERT_TRUE(address);
  auto sending = begin_sending(*address, {0}, kSlow);
  ASSERT_TRUE(copies());
  ASSERT_EQ(::kill(other_pid(), SIGKILL), 0);
  const auto sent = sending.get();
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().reason, "copy_failed") << sent.error().to_text();
  EXPECT_TRUE(target_->reaches(vm_, State::absent));
  EXPECT_TRUE(agent_->reaches(vm_, State::running));
  lives(*agent_);
}

TEST_F(MoveTest, ATargetThatHangsIsGivenUp) {
  const auto address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address);
  ASSERT_EQ(::kill(other_pid(), SIGSTOP), 0);
  const auto sent = send(*address);
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().cause, HasSubstr("does not answer"));
  EXPECT_TRUE(agent_->reaches(vm_, State::running));
  lives(*agent_);
}

TEST_F(MoveTest, ASourceWhoseAgentWasKilledGoesOnAndCanBeMovedAgain) {
  const auto address = target_->receive(with_disk_of_its_own(), {0});
  ASSERT_TRUE(address);
  agent_->loop().post([&] {
    port::MoveRequest request;
    request.target = *address;
    request.copied_disks = {0};
    request.bytes_per_second_max = kSlow;
    agent_->hypervisor().send(
        vm_, request,
        [this](const port::MoveProgress& seen) {
          const std::lock_guard lock(mutex_);
          last_ = seen;
        },
        [](const Result<void>&) {});
  });
  ASSERT_TRUE(copies());
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  lives(*agent_);
  ASSERT_TRUE(target_->kill(vm_));
  const auto again = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(again);
  const auto sent = send(*again);
  EXPECT_TRUE(sent) << sent.error().to_text();
}

TEST_F(MoveTest, AgentsThatComeBackAfterwardsKnowThatItWent) {
  const auto address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address);
  ASSERT_TRUE(send(*address));
  ASSERT_TRUE(target_->reaches(vm_, State::received));
  restart_agent();
  EXPECT_EQ(agent_->last(vm_).state, State::sent);
  target_ = nullptr;
  target_ = std::make_unique<Agent>(other_state_);
  EXPECT_EQ(target_->last(vm_).state, State::received);
  ASSERT_TRUE(target_->take_over(vm_, true));
  lives(*target_);
}

TEST_F(MoveTest, ATargetWhoseAgentWasKilledWaitsForNobody) {
  const auto address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address);
  target_ = nullptr;
  target_ = std::make_unique<Agent>(other_state_);
  EXPECT_TRUE(target_->reaches(vm_, State::absent));
  EXPECT_FALSE(send(*address));
  lives(*agent_);
}

TEST_F(MoveTest, ItCanBeTakenBackWhileItDoesNotRunThere) {
  const auto address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address);
  ASSERT_TRUE(send(*address));
  const auto paused = agent_->pause(vm_);
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().reason, "moving");
  ASSERT_TRUE(target_->reaches(vm_, State::received));
  ASSERT_TRUE(target_->kill(vm_));
  const auto taken = agent_->take_over(vm_, true);
  ASSERT_TRUE(taken) << taken.error().to_text();
  EXPECT_EQ(agent_->last(vm_).state, State::running);
  lives(*agent_);
}

TEST_F(MoveTest, TellsHowFastAGuestChangesItsMemory) {
  std::promise<Result<std::uint64_t>> answer;
  agent_->loop().post(
      [&] { agent_->hypervisor().measure(vm_, [&](const Result<std::uint64_t>& rate) { answer.set_value(rate); }); });
  const auto rate = answer.get_future().get();
  ASSERT_TRUE(rate) << rate.error().to_text();
  // It waits for a key.
  EXPECT_LT(*rate, 100U << 20U);
}

TEST_F(MoveTest, APausedGuestMovesPaused) {
  ASSERT_TRUE(agent_->pause(vm_));
  const auto address = target_->receive(guest("task-1"), {});
  ASSERT_TRUE(address);
  ASSERT_TRUE(send(*address));
  ASSERT_TRUE(target_->reaches(vm_, State::received));
  ASSERT_TRUE(target_->take_over(vm_, false));
  EXPECT_EQ(target_->last(vm_).state, State::paused);
  ASSERT_TRUE(agent_->kill(vm_));
  ASSERT_TRUE(target_->resume(vm_));
  lives(*target_);
}

TEST_F(MoveTest, AFullTargetDiskLeavesTheGuestWhereItIs) {
  const std::string small = state_ + "/small";
  std::filesystem::create_directory(small);
  ASSERT_EQ(::mount("small", small.c_str(), "tmpfs", 0, "size=256k,mode=755"), 0);
  auto definition = guest("task-1");
  definition.disks[0].path = small + "/copy.raw";
  std::ofstream(definition.disks[0].path).close();
  std::filesystem::resize_file(definition.disks[0].path, std::filesystem::file_size(disk_));
  ASSERT_EQ(::chown(definition.disks[0].path.c_str(), uid_, uid_), 0);
  const auto address = target_->receive(definition, {0});
  ASSERT_TRUE(address) << address.error().to_text();
  const auto sent = send(*address, {0});
  EXPECT_FALSE(sent);
  lives(*agent_);
  EXPECT_TRUE(target_->kill(vm_));
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

TEST(MoveKeysTest, ASecretIsNeverTheSameAndNothingElseIsTaken) {
  const auto first = make_move_secret();
  const auto second = make_move_secret();
  ASSERT_TRUE(first && second);
  EXPECT_TRUE(is_move_secret(*first));
  EXPECT_NE(*first, *second);
  EXPECT_FALSE(is_move_secret("gantry:00"));
  EXPECT_FALSE(write_move_key("/tmp/unused", "short\nroot:0", 0));
  EXPECT_FALSE(std::filesystem::exists("/tmp/unused"));
}

}  // namespace
}  // namespace gantry::qemu
