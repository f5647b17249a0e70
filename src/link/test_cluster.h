// For tests of this room: a manager's end and any number of hosts over real gRPC on the loopback, and what a manager
// decides of them in a few lines.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/hex.h"
#include "link/grpc_host_link.h"
#include "link/grpc_manager_link.h"
#include "link/join_client.h"
#include "link/local_link.h"
#include "model/join_token.h"
#include "runtime/clock.h"
#include "runtime/event_loop.h"

namespace gantry::link {

inline bool eventually(const std::function<bool()>& holds, Milliseconds timeout_ms = 60'000) {
  for (Milliseconds waited_ms = 0; waited_ms < timeout_ms; waited_ms += 5) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return holds();
}

// A loop on a thread of its own.
class LoopThread {
 public:
  LoopThread() : thread_([this] { loop.run(); }) {}
  ~LoopThread() {
    loop.stop();
    thread_.join();
  }
  // On the loop; waits for it.
  void run(const std::function<void()>& work) {
    std::promise<void> done;
    loop.post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  runtime::EventLoop loop;

 private:
  std::thread thread_;
};

inline Credentials test_authority() {
  const Milliseconds now_ms = runtime::real_now().unix_ms;
  return make_authority({now_ms, now_ms + kAuthorityMs}).value();
}

// Knows its members and tokens; keeps what came.
class TestManager {
 public:
  explicit TestManager(ManagerLinkOptions options = {}, Credentials with = test_authority())
      : authority(std::move(with)), local_(thread.loop) {
    link = std::make_unique<GrpcManagerLink>(thread.loop, local_.manager_end());
    thread.run([this] { set_handlers(); });
    auto listening = link->listen(
        authority, options, [this](const v1::JoinRequest& request, const JoinDone& done) { done(admit(request)); });
    EXPECT_TRUE(listening) << listening.error().to_text();
    port = listening.value_or(0);
  }
  ~TestManager() {
    link->stop();
    // What gRPC has posted last.
    thread.run([] {});
  }

  [[nodiscard]] v1::JoinToken token(const std::string& secret) {
    const std::lock_guard lock(mutex);
    tokens.insert(secret);
    v1::JoinToken made;
    made.add_addresses(model::format_link_address("127.0.0.1", port));
    made.set_authority_fingerprint(from_hex(fingerprint_of(authority.certificate_pem).value()));
    made.set_secret(secret);
    return made;
  }

  [[nodiscard]] bool is_connected(const std::string& host_id) {
    const std::lock_guard lock(mutex);
    return connected.contains(host_id);
  }
  [[nodiscard]] std::size_t connections() {
    const std::lock_guard lock(mutex);
    return connected.size();
  }
  void send(const std::string& host_id, const v1::ToHost& message) {
    thread.run([&] { link->send(host_id, message); });
  }
  // As the manager does when the record is gone.
  void revoke(const std::string& host_id) {
    thread.run([&] {
      {
        const std::lock_guard lock(mutex);
        members.erase(host_id);
        connected.erase(host_id);
      }
      link->drop(host_id);
    });
  }

  Credentials authority;
  LoopThread thread;
  std::unique_ptr<GrpcManagerLink> link;
  std::uint16_t port = 0;
  std::mutex mutex;
  std::set<std::string> members;
  std::set<std::string> tokens;
  std::set<std::string> connected;
  std::vector<v1::FromHost> came;
  int losses = 0;

 private:
  void set_handlers() {
    link->on_admission([this](const std::string& host_id) {
      const std::lock_guard lock(mutex);
      return members.contains(host_id) ? port::Standing::member : port::Standing::stranger;
    });
    link->on_connection([this](const std::string& host_id, bool up) {
      const std::lock_guard lock(mutex);
      if (up) {
        connected.insert(host_id);
      } else {
        connected.erase(host_id);
        ++losses;
      }
    });
    link->on_message([this](const v1::FromHost& message) {
      const std::lock_guard lock(mutex);
      came.push_back(message);
    });
  }

  Result<v1::Host> admit(const v1::JoinRequest& request) {
    const std::lock_guard lock(mutex);
    if (tokens.erase(request.secret()) == 0) {
      return fail(ErrorCode::permission_denied, "the token is not valid", "", "", "token_unknown");
    }
    std::string number = std::to_string(members.size() + 1);
    v1::Host host;
    host.mutable_meta()->set_id("host-" + std::string(12 - number.size(), '0') + number);
    host.mutable_meta()->set_name(request.host_name());
    members.insert(host.meta().id());
    return host;
  }

  LocalLink local_;
};

inline Result<HostCredentials> join(TestManager& manager, const std::string& secret) {
  return join_cluster(manager.token(secret), {.host_name = "beta", .pool_path = "/pool", .taken_subnets = {}});
}

// A host's end that keeps what came.
class TestHost {
 public:
  explicit TestHost(HostCredentials given) : credentials(std::move(given)) {
    HostLinkOptions options;
    options.first_pause_ms = 20;
    options.last_pause_ms = 200;
    options.keep = [this](const HostCredentials& renewed) -> Result<void> {
      const std::lock_guard lock(mutex);
      credentials = renewed;
      ++renewals;
      return {};
    };
    options.log = [this](std::string_view line) {
      const std::lock_guard lock(mutex);
      log.append(line).append("\n");
    };
    link = std::make_unique<GrpcHostLink>(thread.loop, credentials, options);
    thread.run([this] {
      link->on_connection([this](bool up) {
        connected = up;
        if (!up) ++losses;
      });
      link->on_message([this](const v1::ToHost& message) {
        const std::lock_guard lock(mutex);
        came.push_back(message);
      });
      link->start();
    });
  }
  ~TestHost() {
    link->stop();
    thread.run([] {});
  }

  void send(const v1::FromHost& message) {
    thread.run([&] { link->send(message); });
  }
  [[nodiscard]] std::string logged() {
    const std::lock_guard lock(mutex);
    return log;
  }
  [[nodiscard]] HostCredentials kept() {
    const std::lock_guard lock(mutex);
    return credentials;
  }
  [[nodiscard]] std::size_t received() {
    const std::lock_guard lock(mutex);
    return came.size();
  }

  LoopThread thread;
  std::mutex mutex;
  HostCredentials credentials;
  std::unique_ptr<GrpcHostLink> link;
  std::atomic<bool> connected = false;
  std::atomic<int> losses = 0;
  std::vector<v1::ToHost> came;
  std::string log;
  int renewals = 0;
};

}  // namespace gantry::link
