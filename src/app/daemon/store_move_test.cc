// Moving records: all of them, or nothing that anybody would use; whenever it is interrupted.
#include "app/daemon/store_move.h"

#include "control/leadership.h"
#include "gantry/v1/leader.pb.h"
#include "store/memory_store.h"
#include "store/test_support.h"

namespace gantry::app {
namespace {

using store::commit;
using store::put;
using store::range;
using store::TestLoop;

constexpr int kRecords = 250;

// How many commits are left before the one that moves records dies, and whether that last one is still carried out.
struct Death {
  int commits_left = 1'000'000;
  bool last_is_done = false;
  bool dead = false;
};

// A store as somebody sees it who dies.
class Mortal final : public port::Store {
 public:
  Mortal(port::Store& inner, Death& death) : inner_(inner), death_(death) {}

  void commit(port::Txn txn, CommitCallback done) override {
    if (!death_.dead && death_.commits_left-- > 0) return inner_.commit(std::move(txn), std::move(done));
    const bool last = !std::exchange(death_.dead, true);
    if (!last || !death_.last_is_done) return done({port::CommitOutcome::unavailable, 0, "dead"});
    inner_.commit(std::move(txn), [done](const auto&) { done({port::CommitOutcome::unavailable, 0, "dead"}); });
  }
  void range(port::RangeRequest request, RangeCallback done) override {
    if (death_.dead) return done(tl::unexpected(port::StoreError::unavailable));
    inner_.range(std::move(request), std::move(done));
  }
  std::unique_ptr<port::Watch> watch(std::string prefix, port::Revision from, port::WatchCallback call) override {
    return inner_.watch(std::move(prefix), from, std::move(call));
  }
  void grant_lease(Milliseconds ttl_ms, LeaseCallback done) override { inner_.grant_lease(ttl_ms, std::move(done)); }
  void keep_lease_alive(port::LeaseId lease, LeaseCallback done) override {
    inner_.keep_lease_alive(lease, std::move(done));
  }
  void revoke_lease(port::LeaseId lease, LeaseCallback done) override { inner_.revoke_lease(lease, std::move(done)); }
  void compact(port::Revision revision, std::function<void(Result<port::Revision, port::StoreError>)> done) override {
    inner_.compact(revision, std::move(done));
  }

 private:
  port::Store& inner_;
  Death& death_;
};

struct StoreMoveTest : ::testing::Test {
  TestLoop loop;
  store::MemoryStore old_store{loop};
  store::MemoryStore new_store{loop};
  StoreMove move{.host_id = "host-1", .host_name = "alpha", .target = "etcd://a:1", .now_unix_ms = 1};

  StoreMoveTest() {
    for (int i = 0; i < kRecords; i += 50) {
      port::Txn txn;
      for (int j = i; j < i + 50; ++j) txn.writes.push_back(put("/vm/" + std::to_string(1000 + j), std::to_string(j)));
      commit(old_store, txn);
    }
  }
  static std::map<std::string, std::string> contents(port::Store& store, const std::string& prefix = "/") {
    std::map<std::string, std::string> all;
    const auto found = range(store, {prefix});
    for (const port::Entry& entry : found->entries) all[entry.key] = entry.value;
    return all;
  }
  void expect_moved() {
    EXPECT_EQ(contents(new_store), contents(old_store, "/vm/"));
    EXPECT_TRUE(refuse_left_behind(old_store).has_value());
    const auto refused = refuse_moved(old_store);
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().cause.find(move.target), std::string::npos);
    EXPECT_TRUE(refuse_moved(new_store).has_value());
  }
  std::string reason() {
    const auto moved = move_records(old_store, new_store, move);
    return moved ? "" : moved.error().reason;
  }
};

TEST_F(StoreMoveTest, AllRecordsAreMovedAndTheOldStoreServesNoMore) {
  EXPECT_TRUE(refuse_moved(old_store).has_value());
  EXPECT_EQ(refuse_left_behind(old_store).error().reason, "records_left_behind");
  EXPECT_TRUE(refuse_left_behind(new_store).has_value());
  const auto moved = move_records(old_store, new_store, move);
  ASSERT_TRUE(moved.has_value()) << moved.error().to_text();
  EXPECT_NE(moved->find("250 records"), std::string::npos) << *moved;
  expect_moved();
  EXPECT_EQ(reason(), "store_moved");
}

TEST_F(StoreMoveTest, ADryRunWritesNothing) {
  move.dry_run = true;
  const auto plan = move_records(old_store, new_store, move);
  ASSERT_TRUE(plan.has_value());
  EXPECT_NE(plan->find("250 records"), std::string::npos) << *plan;
  EXPECT_TRUE(contents(new_store).empty());
  EXPECT_TRUE(refuse_moved(old_store).has_value());
}

TEST_F(StoreMoveTest, AStoreThatIsUsedIsRefused) {
  commit(new_store, {{}, {put("/vm/other", "x")}});
  EXPECT_EQ(reason(), "store_not_empty");
  commit(new_store, {{}, {store::erase("/vm/other"), put(control::leader_key(), "")}});
  EXPECT_EQ(reason(), "store_in_use");
  v1::Leader other;
  other.set_moves_from("host-2");
  commit(new_store, {{}, {put(control::leader_key(), other.SerializeAsString())}});
  EXPECT_EQ(reason(), "store_in_use");
  EXPECT_TRUE(refuse_moved(old_store).has_value());
  EXPECT_EQ(contents(new_store).size(), 1U);
}

TEST_F(StoreMoveTest, WhateverInterruptsItItGoesOnWhereItWas) {
  for (const bool last_is_done : {false, true}) {
    for (int commits = 0;; ++commits) {
      TestLoop own_loop;
      store::MemoryStore from(own_loop);
      store::MemoryStore to(own_loop);
      for (const auto& [key, value] : contents(old_store)) commit(from, {{}, {put(key, value)}});
      Death death{.commits_left = commits, .last_is_done = last_is_done};
      Mortal mortal_from(from, death);
      Mortal mortal_to(to, death);
      const bool finished = move_records(mortal_from, mortal_to, move).has_value();
      EXPECT_EQ(finished, !death.dead);
      // Never do both serve.
      const bool old_serves = refuse_moved(from).has_value();
      const bool new_serves = contents(to, control::leader_key()).empty() && !contents(to).empty();
      EXPECT_FALSE(old_serves && new_serves) << commits;
      if (finished) break;
      const auto again = move_records(from, to, move);
      const bool was_last = !again && again.error().reason == "store_moved";
      EXPECT_TRUE(again.has_value() || was_last) << commits << ": " << again.error().to_text();
      EXPECT_EQ(contents(to), contents(from, "/vm/")) << commits;
      EXPECT_FALSE(refuse_moved(from).has_value()) << commits;
    }
  }
}

TEST_F(StoreMoveTest, AnotherInstallationDoesNotGoOnWithIt) {
  Death death{.commits_left = 2};
  Mortal mortal(new_store, death);
  EXPECT_FALSE(move_records(old_store, mortal, move).has_value());
  move.host_id = "host-2";
  EXPECT_EQ(reason(), "store_in_use");
}

}  // namespace
}  // namespace gantry::app
