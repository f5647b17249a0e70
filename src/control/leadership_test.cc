#include "control/leadership.h"

#include <gtest/gtest.h>

#include "control/fakes.h"

namespace gantry::control {
namespace {

using Fault = FakeStore::Fault;

// One manager's part in it, and all it was told.
struct Candidate {
  Candidate(FakeStore& store, FakeExecutor& executor, const std::string& name) {
    LeadershipOptions options;
    options.self.set_name(name);
    options.self.add_api_addresses("https://" + name + ":8443");
    leadership = std::make_unique<Leadership>(
        store, executor, options,
        LeadershipEvents{.leads = [this](port::Compare given) { fence = std::move(given); },
                         .lost = [this](const std::string& why) { lost = why; },
                         .stands_by =
                             [this](const std::optional<v1::Leader>& other, const std::string& why) {
                               leader = other ? other->name() : "";
                               trouble = why;
                             }});
    leadership->start();
  }
  [[nodiscard]] bool leads() const { return fence.has_value() && lost.empty(); }

  std::optional<port::Compare> fence;
  std::string lost;
  std::string leader;
  std::string trouble;
  std::unique_ptr<Leadership> leadership;
};

struct LeadershipTest : ::testing::Test {
  FakeExecutor executor;
  FakeStore store{executor};
  Candidate first{store, executor, "first"};

  port::LeaseId lease() { return store.entries().at(leader_key()).lease; }
};

TEST_F(LeadershipTest, OneLeadsAndOthersKnowWho) {
  Candidate second(store, executor, "second");
  executor.run_for(5'000);
  EXPECT_TRUE(first.leads());
  EXPECT_FALSE(second.leads());
  EXPECT_EQ(second.leader, "first");
  EXPECT_EQ(first.fence->key, leader_key());
  EXPECT_EQ(first.fence->modified, store.entries().at(leader_key()).modified);
}

TEST_F(LeadershipTest, AnotherLeadsOnceTheLeaseHasEndedAndTheFirstIsTold) {
  Candidate second(store, executor, "second");
  executor.run_for(1'000);
  store.end_lease(lease());
  executor.run_for(2'000);
  EXPECT_NE(first.lost, "");
  EXPECT_TRUE(second.leads());
  EXPECT_NE(second.fence->modified, first.fence->modified);
}

TEST_F(LeadershipTest, WhoResignsIsFollowedAtOnceAndHearsNoMore) {
  Candidate second(store, executor, "second");
  executor.run_for(1'000);
  bool resigned = false;
  first.leadership->resign([&] { resigned = true; });
  executor.run_for(100);
  EXPECT_TRUE(resigned);
  EXPECT_TRUE(second.leads());
  EXPECT_EQ(first.lost, "");
}

TEST_F(LeadershipTest, ALeaderThatIsNotAnsweredGivesUp) {
  executor.run_for(1'000);
  store.away = true;
  executor.run_for(4'000);
  EXPECT_TRUE(first.leads());
  executor.run_for(2'000);
  EXPECT_NE(first.lost.find("not answered"), std::string::npos) << first.lost;
}

TEST_F(LeadershipTest, AShortSilenceCostsNothing) {
  executor.run_for(1'000);
  store.away = true;
  executor.run_for(3'000);
  store.away = false;
  executor.run_for(60'000);
  EXPECT_TRUE(first.leads());
}

TEST_F(LeadershipTest, TheRecordItselfDecidesNotTheLease) {
  executor.run_for(1'000);
  store.write({{}, {{.key = leader_key(), .value = "somebody else"}}});
  executor.run_for(1'000);
  EXPECT_NE(first.lost, "");
}

// Whatever becomes of the commit: it leads only by one that it is sure of, and only one leads.
TEST(Leadership, AnUnknownCommitDoesNotMakeALeader) {
  for (const Fault fault : {Fault::unknown_written, Fault::unknown_lost, Fault::unknown_late, Fault::unavailable}) {
    FakeExecutor executor;
    FakeStore store(executor);
    store.faults = {fault};
    Candidate first(store, executor, "first");
    Candidate second(store, executor, "second");
    executor.run_for(10'000);
    EXPECT_TRUE(first.leads() != second.leads());
    const Candidate& leader = first.leads() ? first : second;
    EXPECT_EQ(leader.fence->modified, store.entries().at(leader_key()).modified);
  }
}

TEST(Leadership, AStoreThatIsAwayIsSaidToBe) {
  FakeExecutor executor;
  FakeStore store(executor);
  store.away = true;
  Candidate first(store, executor, "first");
  executor.run_for(1'000);
  EXPECT_NE(first.trouble, "");
  store.away = false;
  executor.run_for(1'000);
  EXPECT_TRUE(first.leads());
}

// "gantryd migrate-store" holds the record without a lease: nobody leads until it is done.
TEST(Leadership, ARecordWithoutALeaseIsWaitedFor) {
  FakeExecutor executor;
  FakeStore store(executor);
  v1::Leader mover;
  mover.set_name("mover");
  store.write({{}, {{.key = leader_key(), .value = mover.SerializeAsString()}}});
  Candidate first(store, executor, "first");
  executor.run_for(60'000);
  EXPECT_FALSE(first.leads());
  EXPECT_EQ(first.leader, "mover");
  store.write({{}, {{.kind = port::Write::Kind::erase, .key = leader_key(), .value = {}}}});
  executor.run_for(1'000);
  EXPECT_TRUE(first.leads());
}

}  // namespace
}  // namespace gantry::control
