// The suite of all stores through a fence that holds, and what becomes of commits when it does not.
#include "store/fenced_store.h"

#include "store/conformance.h"
#include "store/memory_store.h"

namespace gantry::store {
namespace {

using port::CommitOutcome;

class FencedUnderTest final : public StoreUnderTest {
 public:
  port::Store& store() override { return fenced_; }
  void let_pass(Milliseconds time_ms) override { loop_.advance(time_ms); }

 private:
  TestLoop loop_;
  MemoryStore store_{loop_};
  // There is none, and so it stays.
  FencedStore fenced_{store_, {"no leader", 0}};
};

INSTANTIATE_TEST_SUITE_P(Fenced, StoreConformance,
                         ::testing::Values(StoreKind{"fenced", [] { return std::make_unique<FencedUnderTest>(); }}),
                         store_kind_name);

TEST(FencedStore, NothingIsCommittedOnceItsRecordIsAnother) {
  TestLoop loop;
  MemoryStore store(loop);
  const auto first = commit(store, {{}, {put("/leader", "first")}});
  FencedStore fenced(store, {"/leader", first.revision});
  EXPECT_EQ(commit(fenced, {{}, {put("/a", "1")}}).outcome, CommitOutcome::committed);
  // Gone and made again with the same words: it is another.
  commit(store, {{}, {erase("/leader")}});
  EXPECT_EQ(commit(fenced, {{}, {put("/a", "2")}}).outcome, CommitOutcome::unavailable);
  commit(store, {{}, {put("/leader", "first")}});
  EXPECT_EQ(commit(fenced, {{}, {put("/a", "3")}}).outcome, CommitOutcome::unavailable);
  EXPECT_EQ(range(fenced, {"/a"})->entries.at(0).value, "1");
}

TEST(FencedStore, AConflictIsOfTheCallersOwnCompares) {
  TestLoop loop;
  MemoryStore store(loop);
  const auto leader = commit(store, {{}, {put("/leader", "first")}});
  FencedStore fenced(store, {"/leader", leader.revision});
  const port::Txn own{{{"/a", 17}}, {put("/a", "1")}};
  const port::CommitResult conflict = commit(fenced, own);
  EXPECT_EQ(conflict.outcome, CommitOutcome::conflict);
  EXPECT_EQ(conflict.revision, leader.revision);
  commit(store, {{}, {put("/leader", "second")}});
  const port::CommitResult deposed = commit(fenced, own);
  EXPECT_EQ(deposed.outcome, CommitOutcome::unavailable);
  EXPECT_NE(deposed.detail.find("lead was lost"), std::string::npos) << deposed.detail;
  // What writes nothing needs no lead.
  EXPECT_EQ(commit(fenced, {{{"/a", 17}}, {}}).outcome, CommitOutcome::conflict);
}

}  // namespace
}  // namespace gantry::store
