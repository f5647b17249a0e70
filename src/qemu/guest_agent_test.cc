#include "qemu/guest_agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <istream>
#include <vector>

#include "runtime/clock.h"

namespace gantry::qemu {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Local = asio::local::stream_protocol;

constexpr GuestAgentTiming kQuick = {.fast_ms = 1, .slow_ms = 5, .sync_timeout_ms = 50, .round_timeout_ms = 100};

// One agent at a socket: `answer` gives the bytes to say to a request line, maybe none.
class FakeAgent {
 public:
  FakeAgent(asio::io_context& context, const std::string& path)
      : acceptor_(context, Local::endpoint(path)), peer_(context) {
    accept();
  }

  static std::string id_in(const std::string& request) {
    const std::size_t begin = request.find("\"id\":") + 5;
    return request.substr(begin, request.find('}', begin) - begin);
  }

  std::string answer_properly(const std::string& request) const {
    if (request.find("guest-sync-delimited") != std::string::npos) return "\xff{\"return\": " + id_in(request) + "}\n";
    if (request.find("guest-get-host-name") != std::string::npos) {
      return "{\"return\": {\"host-name\": \"" + host_name + "\"}}\n";
    }
    return "{\"return\": {}}\n";
  }

  std::function<std::string(const std::string&)> answer = [this](const std::string& line) {
    return answer_properly(line);
  };
  std::string host_name = "web";
  int requests = 0;
  int connections = 0;

 private:
  void accept() {
    acceptor_.async_accept([this](const error_code& error, Local::socket peer) {
      if (error) return;
      ++connections;
      peer_ = std::move(peer);
      input_.consume(input_.size());
      read();
    });
  }

  // One connection at a time, as QEMU has it.
  void read() {
    asio::async_read_until(peer_, input_, '\n', [this](const error_code& error, std::size_t) {
      if (error) {
        accept();
        return;
      }
      std::string line;
      std::istream stream(&input_);
      std::getline(stream, line);
      ++requests;
      output_ = answer(line);
      asio::async_write(peer_, asio::buffer(output_),
                        [this](const error_code& write_error, std::size_t) { write_error ? accept() : read(); });
    });
  }

  Local::acceptor acceptor_;
  Local::socket peer_;
  asio::streambuf input_;
  std::string output_;
};

class GuestAgent : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "gantry-agent-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    path_ = directory_ + "/agent";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void poll(const GuestAgentTiming& timing = kQuick) {
    poller_ = std::make_unique<GuestAgentPoller>(
        context_, path_, [this](const v1::GuestFacts& facts) { told_.push_back(facts); }, timing);
  }

  // Runs the loop until then, for a minute at most.
  template <class Condition>
  bool run_until(Condition condition) {
    const Milliseconds deadline_ms = runtime::real_now().monotonic_ms + 60'000;
    while (!condition() && runtime::real_now().monotonic_ms < deadline_ms) {
      context_.restart();
      context_.run_one_for(std::chrono::milliseconds(100));
    }
    return condition();
  }

  std::string directory_;
  std::string path_;
  asio::io_context context_;
  std::vector<v1::GuestFacts> told_;
  std::unique_ptr<GuestAgentPoller> poller_;
};

TEST_F(GuestAgent, TellsFactsOnceAndThenChanges) {
  FakeAgent agent(context_, path_);
  poll();
  EXPECT_TRUE(told_.empty());
  ASSERT_TRUE(run_until([&] { return !told_.empty(); }));
  EXPECT_TRUE(told_[0].agent_connected());
  EXPECT_EQ(told_[0].host_name(), "web");
  const int requests = agent.requests;
  ASSERT_TRUE(run_until([&] { return agent.requests > requests + 20; }));
  EXPECT_EQ(told_.size(), 1U) << "nothing changed";
  EXPECT_EQ(agent.connections, 1);
  agent.host_name = "db";
  ASSERT_TRUE(run_until([&] { return told_.size() == 2; }));
  EXPECT_EQ(told_[1].host_name(), "db");
}

TEST_F(GuestAgent, MayAppearLater) {
  poll();
  context_.run_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(told_.empty());
  FakeAgent agent(context_, path_);
  EXPECT_TRUE(run_until([&] { return !told_.empty(); }));
}

TEST_F(GuestAgent, IsAskedAgainWhenItWasSilent) {
  FakeAgent agent(context_, path_);
  agent.answer = [](const std::string&) { return std::string(); };
  poll();
  ASSERT_TRUE(run_until([&] { return agent.connections >= 3; }));
  EXPECT_TRUE(told_.empty()) << "it never was there, and that is what is known";
  agent.answer = [&](const std::string& line) { return agent.answer_properly(line); };
  EXPECT_TRUE(run_until([&] { return !told_.empty(); }));
}

TEST_F(GuestAgent, IsToldToBeGoneWithItsLastFacts) {
  FakeAgent agent(context_, path_);
  poll();
  ASSERT_TRUE(run_until([&] { return !told_.empty(); }));
  agent.answer = [&](const std::string& line) {
    return line.find("osinfo") == std::string::npos ? agent.answer_properly(line) : std::string();
  };
  ASSERT_TRUE(run_until([&] { return told_.size() == 2; })) << "it syncs, but never ends a round";
  EXPECT_FALSE(told_[1].agent_connected());
  EXPECT_EQ(told_[1].host_name(), "web");
}

TEST_F(GuestAgent, ThatTalksTooMuchIsHungUpOn) {
  FakeAgent agent(context_, path_);
  agent.answer = [](const std::string&) { return std::string(std::size_t{2} << 20U, '\xff'); };
  poll({.fast_ms = 1, .slow_ms = 5, .sync_timeout_ms = 60'000, .round_timeout_ms = 60'000});
  EXPECT_TRUE(run_until([&] { return agent.connections >= 3; }));
  EXPECT_TRUE(told_.empty());
}

TEST_F(GuestAgent, PollerMayBeEndedFromItsCallback) {
  FakeAgent agent(context_, path_);
  int calls = 0;
  poller_ = std::make_unique<GuestAgentPoller>(
      context_, path_,
      [&](const v1::GuestFacts&) {
        ++calls;
        poller_.reset();
      },
      kQuick);
  ASSERT_TRUE(run_until([&] { return poller_ == nullptr; }));
  agent.host_name = "db";
  context_.restart();
  context_.run_for(std::chrono::milliseconds(20));
  EXPECT_EQ(calls, 1);
}

TEST_F(GuestAgent, IsAskedSoonWhenThereIsAHurry) {
  poll({.fast_ms = 1,
        .slow_ms = 1'000'000,
        .fast_rounds_at_first = 0,
        .sync_timeout_ms = 1'000,
        .round_timeout_ms = 1'000});
  context_.run_for(std::chrono::milliseconds(5));
  FakeAgent agent(context_, path_);
  poller_->hurry();
  EXPECT_TRUE(run_until([&] { return !told_.empty(); }));
}

TEST_F(GuestAgent, MayHaveAnImpossiblePath) {
  path_ = std::string(500, 'x');
  poll();
  context_.run_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(told_.empty());
}

// The real agent, here without a guest around it.
TEST_F(GuestAgent, OfQemuAnswers) {
  const std::string pid_file = directory_ + "/pid";
  const pid_t agent = ::fork();
  if (agent == 0) {
    ::execlp("qemu-ga", "qemu-ga", "-m", "unix-listen", "-p", path_.c_str(), "-t", directory_.c_str(), "-f",
             pid_file.c_str(), nullptr);
    ::_exit(127);
  }
  ASSERT_GT(agent, 0);
  poll({.fast_ms = 20, .slow_ms = 20, .sync_timeout_ms = 5'000, .round_timeout_ms = 20'000});
  const bool answered = run_until([&] { return !told_.empty(); });
  poller_.reset();
  ::kill(agent, SIGKILL);
  int status = 0;
  ::waitpid(agent, &status, 0);
  ASSERT_TRUE(answered) << "is qemu-guest-agent installed? it ended with " << status;
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  EXPECT_EQ(told_[0].host_name(), name);
  EXPECT_THAT(told_[0].operating_system(), testing::Not(testing::IsEmpty()));
  EXPECT_THAT(told_[0].kernel(), testing::Not(testing::IsEmpty()));
}

}  // namespace
}  // namespace gantry::qemu
