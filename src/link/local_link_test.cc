#include "link/local_link.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <vector>

namespace gantry::link {
namespace {

class QueueExecutor final : public port::Executor {
 public:
  void post(std::function<void()> work) override { queue_.push_back(std::move(work)); }
  void post_after(Milliseconds, std::function<void()> work) override { queue_.push_back(std::move(work)); }
  [[nodiscard]] Now now() const override { return {}; }
  void drain() {
    while (!queue_.empty()) {
      auto work = std::move(queue_.front());
      queue_.pop_front();
      work();
    }
  }

 private:
  std::deque<std::function<void()>> queue_;
};

TEST(LocalLink, CarriesMessagesBothWaysInOrderAndLater) {
  QueueExecutor executor;
  LocalLink link(executor);
  std::vector<std::uint64_t> at_host;
  std::vector<std::string> at_manager;
  link.host_end().on_message([&](const v1::ToHost& message) { at_host.push_back(message.sequence()); });
  link.manager_end().on_message([&](const v1::FromHost& message) { at_manager.push_back(message.host_id()); });
  bool connected = false;
  link.manager_end().on_connection([&](const std::string& host, bool up) { connected = up && host == "host-a"; });
  link.connect("host-a");
  v1::ToHost to_host;
  for (const std::uint64_t sequence : {1U, 2U, 3U}) {
    to_host.set_sequence(sequence);
    link.manager_end().send("host-a", to_host);
  }
  link.manager_end().send("host-b", to_host);
  v1::FromHost from_host;
  from_host.set_host_id("host-a");
  link.host_end().send(from_host);
  EXPECT_TRUE(at_host.empty());
  executor.drain();
  EXPECT_TRUE(connected);
  EXPECT_EQ(at_host, (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(at_manager, std::vector<std::string>{"host-a"});
}

}  // namespace
}  // namespace gantry::link
