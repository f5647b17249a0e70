#include "host/lease.h"

#include <gtest/gtest.h>

namespace gantry::host {
namespace {

// One host's machine over a record that it reads and writes at once.
class LeaseTest : public testing::Test {
 protected:
  // Until nothing is due at `now_ms`.
  void settle() {
    for (int i = 0; i < 20; ++i) {
      LeaseStep step = lease.next(now_ms);
      if (step.read && broken) {
        lease.read_done(fail(ErrorCode::unavailable, "no answer"), now_ms);
      } else if (step.read) {
        lease.read_done(disk, now_ms);
      } else if (step.fence) {
        ++fences;
        fenced = step.fence->record;
        if (comes_back) disk->counter += 1;
        lease.fence_done(cannot_fence ? Result<void>(fail(ErrorCode::unavailable, "no monitor")) : Result<void>(),
                         now_ms);
      } else if (step.write) {
        ++writes;
        disk = step.write->record;
        lease.write_done({}, now_ms);
      } else {
        return;
      }
    }
    FAIL() << "it asks without end";
  }
  void run_for(Milliseconds for_ms) {
    const Milliseconds end_ms = now_ms + for_ms;
    for (; now_ms < end_ms; now_ms += 100) settle();
  }
  // The read that is due by then.
  void look_again() {
    now_ms += 1'100;
    EXPECT_TRUE(lease.next(now_ms).read);
    lease.read_done(disk, now_ms);
  }
  // Held, and given to host-b while this renewal is under way.
  LeaseRecord give_while_renewing() {
    lease.want(1, false);
    settle();
    look_again();
    const LeaseStep renewal = lease.next(now_ms);
    EXPECT_TRUE(renewal.write);
    lease.give("host-b", 2);
    return renewal.write.value_or(LeaseWrite()).record;
  }
  [[nodiscard]] bool may_run() const { return lease.right(now_ms) == LeaseRight::run; }

  Milliseconds now_ms = 1'000'000;
  std::optional<LeaseRecord> disk;
  bool broken = false;
  bool cannot_fence = false;
  // Its owner writes the record anew meanwhile.
  bool comes_back = false;
  std::optional<LeaseRecord> fenced;
  int writes = 0;
  int fences = 0;
  Lease lease{"host-a"};
};

TEST_F(LeaseTest, APrivateOneIsHeldAtOnceHoweverItWasLeft) {
  disk = LeaseRecord{.owner = "host-a", .epoch = 9, .counter = 5};
  lease.want(1, true);
  settle();
  EXPECT_TRUE(may_run());
  disk = unreadable_record("torn");
  lease = Lease("host-a");
  lease.want(1, true);
  settle();
  EXPECT_TRUE(may_run());
}

TEST_F(LeaseTest, APrivateOneThatWasSignedOverIsNotTakenBack) {
  disk = LeaseRecord{.owner = "host-a", .epoch = 1, .counter = 5, .heir = "host-b", .heir_epoch = 2};
  lease.want(1, true);
  run_for(60'000);
  EXPECT_EQ(lease.phase(), LeasePhase::superseded);
  EXPECT_EQ(disk->heir, "host-b");
  // The guest came back.
  lease.want(3, true);
  settle();
  EXPECT_TRUE(may_run());
}

TEST_F(LeaseTest, TheFirstOfAllOnASharedPoolIsHeldAtOnce) {
  lease.want(1, false);
  settle();
  EXPECT_TRUE(may_run());
  EXPECT_EQ(disk->owner, "host-a");
}

TEST_F(LeaseTest, AnothersIsTakenAfterItStoodStillAndSettled) {
  disk = LeaseRecord{.owner = "host-b", .epoch = 1, .counter = 5};
  lease.want(2, false);
  run_for(11'000);
  EXPECT_EQ(writes, 0);
  EXPECT_NE(lease.obstacle(now_ms).find("host host-b at epoch 1 may still run it"), std::string::npos);
  run_for(6'000);
  EXPECT_TRUE(may_run());
}

TEST_F(LeaseTest, AnothersIsTakenOnlyWhenWhatItMayYetWriteIsRefused) {
  const LeaseRecord others{.owner = "host-b", .epoch = 1, .counter = 5};
  disk = others;
  cannot_fence = true;
  lease.want(2, false);
  run_for(11'000);
  EXPECT_EQ(fences, 0);
  run_for(30'000);
  EXPECT_GT(fences, 10);
  EXPECT_EQ(writes, 0);
  EXPECT_NE(lease.obstacle(now_ms).find("no monitor"), std::string::npos) << lease.obstacle(now_ms);
  cannot_fence = false;
  run_for(6'000);
  EXPECT_TRUE(may_run());
  EXPECT_EQ(fenced, others);
  // Who had it before this host is refused already.
  const int before = fences;
  broken = true;
  run_for(6'000);
  broken = false;
  run_for(20'000);
  EXPECT_TRUE(may_run());
  EXPECT_EQ(fences, before);
}

TEST_F(LeaseTest, AnOwnerThatComesBackWhileItIsRefusedKeepsIt) {
  disk = LeaseRecord{.owner = "host-b", .epoch = 1, .counter = 5};
  comes_back = true;
  lease.want(2, false);
  run_for(60'000);
  EXPECT_GT(fences, 1);
  EXPECT_EQ(writes, 0);
}

TEST_F(LeaseTest, NothingIsRefusedOfOnesOwnOrOfAnOwnerThatSignedItOver) {
  lease.want(1, false);
  settle();
  lease.give("host-a", 1);
  settle();
  lease = Lease("host-a");
  lease.want(1, false);
  run_for(20'000);
  EXPECT_TRUE(may_run());
  disk = LeaseRecord{.owner = "host-b", .epoch = 2, .counter = 5, .heir = "host-a", .heir_epoch = 3};
  lease = Lease("host-a");
  lease.want(3, false, true);
  settle();
  EXPECT_TRUE(may_run());
  EXPECT_EQ(fences, 0);
}

TEST_F(LeaseTest, WhoMayNotHaveWrittenItLooksBeforeItNamesAnHeir) {
  const LeaseRecord renewal = give_while_renewing();
  lease.write_done(fail(ErrorCode::timed_out, "no answer"), now_ms);
  // It came after all.
  disk = renewal;
  const int before = writes;
  look_again();
  settle();
  EXPECT_EQ(writes, before + 1);
  EXPECT_TRUE(lease.is_given_away());
}

TEST_F(LeaseTest, AGuestThatComesBackFromAPoolOfAnotherHostGoesOnAtOnce) {
  disk = LeaseRecord{.owner = "host-a", .epoch = 1, .counter = 5, .heir = "host-b", .heir_epoch = 2};
  lease.want(3, false, true);
  settle();
  EXPECT_TRUE(may_run());
  EXPECT_EQ(fences, 0) << "it was signed over, there";
}

TEST_F(LeaseTest, NobodysWordThatItComesBackIsTakenFromTheRecordAlone) {
  disk = LeaseRecord{.owner = "host-a", .epoch = 1, .counter = 5, .heir = "host-b", .heir_epoch = 2};
  lease.want(3, false);
  settle();
  EXPECT_FALSE(may_run());
}

TEST_F(LeaseTest, OneThatIsRenewedIsNeverTaken) {
  disk = LeaseRecord{.owner = "host-b", .epoch = 1, .counter = 5};
  lease.want(2, false);
  for (int i = 0; i < 60; ++i) {
    ++disk->counter;
    run_for(1'000);
  }
  EXPECT_EQ(writes, 0);
}

TEST_F(LeaseTest, AHigherEpochEndsIt) {
  lease.want(1, false);
  settle();
  disk = LeaseRecord{.owner = "host-b", .epoch = 2, .counter = 50};
  run_for(1'100);
  EXPECT_EQ(lease.right(now_ms), LeaseRight::none);
  EXPECT_NE(lease.obstacle(now_ms).find("it belongs to host host-b"), std::string::npos);
}

TEST_F(LeaseTest, ADiskThatFailsPausesAndComesBackAtOnceWherePrivate) {
  lease.want(1, true);
  settle();
  broken = true;
  run_for(4'500);
  EXPECT_TRUE(may_run());
  run_for(1'000);
  EXPECT_EQ(lease.right(now_ms), LeaseRight::paused);
  EXPECT_NE(lease.obstacle(now_ms).find("no answer"), std::string::npos);
  broken = false;
  run_for(1'500);
  EXPECT_TRUE(may_run());
}

TEST_F(LeaseTest, OneKeptForItselfIsTakenAtOnceButNotByAProcessThatDoesNotKnow) {
  lease.want(1, false);
  settle();
  lease.give("host-a", 1);
  settle();
  EXPECT_EQ(lease.phase(), LeasePhase::given);
  const int before = writes;
  run_for(5'000);
  EXPECT_EQ(writes, before);
  const LeaseMemory memory = lease.memory();
  lease.want(1, false);
  settle();
  EXPECT_TRUE(may_run());

  lease.give("host-a", 1);
  settle();
  lease = Lease("host-a");
  lease.want(1, false);
  run_for(5'000);
  EXPECT_FALSE(may_run());
  run_for(12'000);
  EXPECT_TRUE(may_run());

  lease.give("host-a", 1);
  settle();
  lease = Lease("host-a");
  lease.want(1, false);
  lease.resume(memory);
  lease.want(1, false);
  settle();
  EXPECT_TRUE(may_run());
}

TEST_F(LeaseTest, OneIsGivenOnlyWhenTheRecordNamesTheHeirAndNotByARenewalThatWasUnderWay) {
  disk = give_while_renewing();
  lease.write_done({}, now_ms + 10);
  EXPECT_EQ(lease.phase(), LeasePhase::giving);
  EXPECT_FALSE(lease.is_given_away());
  EXPECT_EQ(lease.pause_at_ms(), now_ms + LeaseTimes().pause_ms);
  settle();
  EXPECT_TRUE(lease.is_given_away());
  EXPECT_EQ(disk->heir, "host-b");
  EXPECT_EQ(lease.right(now_ms), LeaseRight::none);
  EXPECT_EQ(lease.obstacle(now_ms), "it was signed over to host host-b at epoch 2");
}

TEST_F(LeaseTest, WhatWasGivenAwayIsNotTakenBackAtThatEpoch) {
  lease.want(1, false);
  settle();
  lease.give("host-b", 2);
  settle();
  lease.want(1, false);
  run_for(20'000);
  EXPECT_EQ(lease.phase(), LeasePhase::superseded);
}

TEST_F(LeaseTest, AnHeirThatWasToldTakesItAtOnce) {
  disk = LeaseRecord{.owner = "host-b", .epoch = 1, .counter = 5, .heir = "host-a", .heir_epoch = 2};
  lease.want(2, false, true);
  settle();
  EXPECT_TRUE(may_run());
}

TEST_F(LeaseTest, AnHeirWhoseGiverHadItOnAnotherPoolTakesItAtOnceAndOnlyOnce) {
  lease.want(2, false, true);
  settle();
  EXPECT_TRUE(may_run());
  // What vanished since may be another's.
  disk.reset();
  broken = true;
  run_for(6'000);
  broken = false;
  run_for(5'000);
  EXPECT_FALSE(may_run());
  // Who gave it to itself was told nothing of other pools.
  run_for(30'000);
  ASSERT_TRUE(may_run());
  lease.give("host-a", 2);
  settle();
  disk.reset();
  lease.want(2, false);
  run_for(5'000);
  EXPECT_FALSE(may_run());
}

TEST_F(LeaseTest, AnotherProcessGoesOnWithoutAPause) {
  lease.want(3, false);
  disk = LeaseRecord{.owner = "host-a", .epoch = 3, .counter = 5};
  run_for(16'000);
  ASSERT_TRUE(may_run());
  Lease next("host-a");
  next.want(3, false);
  next.resume(lease.memory());
  lease = next;
  EXPECT_TRUE(may_run());
  run_for(30'000);
  EXPECT_TRUE(may_run());
}

TEST_F(LeaseTest, ARecordThatVanishedIsNotMadeAnewByItsHolder) {
  lease.want(1, false);
  settle();
  disk.reset();
  const int before = writes;
  run_for(8'000);
  EXPECT_EQ(writes, before);
  EXPECT_EQ(lease.right(now_ms), LeaseRight::paused);
}

}  // namespace
}  // namespace gantry::host
