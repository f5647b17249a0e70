// The port itself: order, answers on the executor, and its watch over dnsmasq.
#include "network/host_network.h"

#include <signal.h>

#include "network/test_host.h"
#include "runtime/event_loop.h"
#include "runtime/files.h"

namespace gantry::network {
namespace {

class HostNetworkTest : public OnHost {
 protected:
  runtime::EventLoop loop;
};

TEST_F(HostNetworkTest, AnswersInTheOrderOfTheCalls) {
  runtime::WorkerPool workers(3);  // begun here: they are in the test's namespace
  HostNetwork network(loop, workers, directory + "/state");
  const auto loop_thread = std::this_thread::get_id();
  std::vector<std::string> answers;
  const auto note = [&](const std::string& what, bool good) {
    EXPECT_EQ(std::this_thread::get_id(), loop_thread);
    answers.push_back(what + (good ? "" : " failed"));
  };
  loop.post([&] {
    network.ensure_network(nat_network(), [&](const auto& result) { note("ensure", result.has_value()); });
    network.attach(nic_request(kWeb, "web", "10.66.0.5", nat_network()),
                   [&](const auto& result) { note("attach", result && result->tap == tap_name(kWeb, 0)); });
    network.remove_network(nat_network(), [&](const auto& result) { note("remove", result.has_value()); });
    network.detach(kWeb, [&](const auto& result) { note("detach", result.has_value()); });
    network.remove_network(nat_network(), [&](const auto& result) {
      note("remove", result.has_value());
      loop.stop();
    });
  });
  loop.run();
  EXPECT_EQ(answers, (std::vector<std::string>{"ensure", "attach", "remove failed", "detach", "remove"}));
}

TEST_F(HostNetworkTest, RestartsADnsmasqThatDied) {
  runtime::WorkerPool workers(1);
  HostNetwork network(loop, workers, directory + "/state", {.driver = {}, .revive_interval_ms = 10});
  const std::string path = directory + "/state/networks/net-4f7k2m9qzt3x/dnsmasq.pid";
  pid_t first = 0;
  std::function<void()> wait_for_another = [&] {
    const auto text = runtime::read_file(path);
    if (text && !text->empty() && std::stoi(*text) != first) {
      loop.stop();
    } else {
      loop.post_after(10, wait_for_another);
    }
  };
  loop.post([&] {
    network.ensure_network(nat_network(), [&](const auto& result) {
      ASSERT_TRUE(result);
      first = std::stoi(runtime::read_file(path).value());
      ::kill(first, SIGKILL);
      wait_for_another();
    });
  });
  loop.run();
}

}  // namespace
}  // namespace gantry::network
