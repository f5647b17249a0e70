#include "store/memory_store.h"

#include "store/conformance.h"

namespace gantry::store {
namespace {

class MemoryUnderTest final : public StoreUnderTest {
 public:
  port::Store& store() override { return store_; }
  void let_pass(Milliseconds time_ms) override { loop_.advance(time_ms); }

 private:
  TestLoop loop_;
  MemoryStore store_{loop_};
};

INSTANTIATE_TEST_SUITE_P(Memory, StoreConformance,
                         ::testing::Values(StoreKind{"memory", [] { return std::make_unique<MemoryUnderTest>(); }}),
                         store_kind_name);

// An executor that does nothing until it is told, as the simulator's.
class SteppedLoop final : public port::Executor {
 public:
  void post(std::function<void()> work) override { queue_.push_back(std::move(work)); }
  void post_after(Milliseconds delay_ms, std::function<void()> work) override {
    timers_.emplace(now_ms_ + delay_ms, std::move(work));
  }
  [[nodiscard]] Now now() const override { return {now_ms_, 0}; }
  bool step() {
    if (queue_.empty()) return false;
    const auto work = std::move(queue_.front());
    queue_.pop_front();
    work();
    return true;
  }
  void run_timers(Milliseconds until_ms) {
    while (!timers_.empty() && timers_.begin()->first <= until_ms) {
      now_ms_ = timers_.begin()->first;
      const auto work = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      work();
    }
    now_ms_ = until_ms;
  }
  [[nodiscard]] std::size_t timers() const { return timers_.size(); }

 private:
  std::deque<std::function<void()>> queue_;
  std::multimap<Milliseconds, std::function<void()>> timers_;
  Milliseconds now_ms_ = 0;
};

TEST(MemoryStore, DoesNothingBeforeTheExecutorRuns) {
  SteppedLoop loop;
  MemoryStore store(loop);
  std::vector<std::string> order;
  const auto watch =
      store.watch("/", 0, [&order](const auto& news) { order.push_back("watch " + std::to_string(news->revision)); });
  store.commit({{}, {put("/a", "1")}},
               [&order](const auto& result) { order.push_back("commit " + std::to_string(result.revision)); });
  EXPECT_TRUE(order.empty());
  while (loop.step()) {
  }
  EXPECT_EQ(order, (std::vector<std::string>{"watch 1", "commit 1"}));
}

TEST(MemoryStore, CallsNotBegunAreUnavailableWhenItCloses) {
  SteppedLoop loop;
  auto outcome = port::CommitOutcome::committed;
  {
    MemoryStore store(loop);
    store.commit({{}, {put("/a", "1")}}, [&outcome](const auto& result) { outcome = result.outcome; });
  }
  EXPECT_EQ(outcome, port::CommitOutcome::unavailable);
  while (loop.step()) {
  }
}

TEST(MemoryStore, ALeaseEndsByATimerAlone) {
  SteppedLoop loop;
  MemoryStore store(loop);
  port::LeaseId lease = 0;
  std::vector<port::Revision> told;
  const auto watch = store.watch("/", 0, [&told](const auto& news) { told.push_back(news->revision); });
  store.grant_lease(1000, [&](const auto& granted) {
    lease = granted.value();
    store.commit({{}, {put("/a", "1", lease)}}, [](const auto&) {});
  });
  while (loop.step()) {
  }
  loop.run_timers(700);
  store.keep_lease_alive(lease, [](const auto& kept) { EXPECT_TRUE(kept.has_value()); });
  while (loop.step()) {
  }
  loop.run_timers(1699);
  EXPECT_EQ(told, (std::vector<port::Revision>{1}));
  loop.run_timers(1700);
  EXPECT_EQ(told, (std::vector<port::Revision>{1, 2}));
  EXPECT_EQ(loop.timers(), 0U);
}

}  // namespace
}  // namespace gantry::store
