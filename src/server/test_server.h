// A real server on loopback with fakes behind it, and a small client that can also misbehave.
#pragma once

#include <openssl/ssl.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "gantry/v1/join.pb.h"
#include "server/api_server.h"
#include "server/test_fakes.h"

namespace gantry::server::testing {

struct Reply {
  // 0: the connection ended without an answer.
  int status = 0;
  // Names in lower case.
  std::map<std::string, std::string> headers;
  std::string body;
};

// One connection. Every wait ends after ten seconds.
class Client {
 public:
  // `tls` false: talks plain text. `from`: its own address, of the loopback.
  explicit Client(std::uint16_t port, bool tls = true, int tls_version_max = 0, const char* from = "127.0.0.1");
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  bool send(const std::string& bytes);
  // Of an answer to `method`; 100 Continue is skipped unless `keep_continue`.
  Reply receive(const std::string& method = "GET", bool keep_continue = false);
  // Reads until `text` has come; what was read up to there. Empty: it did not come.
  std::string read_until(const std::string& text);
  std::string read_exactly(std::size_t count);
  // Whether the other side closes.
  bool wait_for_close();
  Reply ask(const std::string& method, const std::string& target, const std::string& body = {},
            const std::vector<std::string>& headers = {});
  // The peer's certificate; may be null.
  [[nodiscard]] X509* certificate() const;

 private:
  bool read_more();

  UniqueFd socket_;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  bool tls_ = true;
  bool connected_ = false;
  std::string buffer_;
};

inline constexpr const char* kLocalToken = "local-secret-of-the-tests";

class TestServer {
 public:
  explicit TestServer(const std::function<void(ApiServerOptions&)>& adjust = {});
  ~TestServer();

  Reply ask(const std::string& method, const std::string& target, const std::string& body = {},
            std::vector<std::string> headers = {}, const std::string& token = kLocalToken) const;
  [[nodiscard]] std::string login(const std::string& password) const;

  std::filesystem::path directory;
  FakeStore store;
  FakeManager manager;
  FakeConsole console;
  ApiServerOptions options;
  std::unique_ptr<ApiServer> server;
  ApiServerStarted started;
};

// For TestServer: hosts can join.
inline void listen_for_hosts(ApiServerOptions& options) {
  options.join_point = JoinPoint{{"192.0.2.1:8444"}, std::string(32, 'f')};
}

// Answers what CreateHostToken asks of the manager.
inline void keep_host_tokens(FakeManager& manager) {
  manager.override_answer([](const FakeManager::Call& call, const port::Manager::Answer& done) {
    if (call.rpc != "KeepHostToken") return false;
    if (call.options.dry_run) {
      auto plan = std::make_unique<v1::Accepted>();
      plan->mutable_plan()->add_steps("make a token");
      done(std::move(plan));
    } else {
      auto token = std::make_unique<v1::HostToken>();
      token->mutable_expires_at()->set_seconds(1'800'000'000);
      done(std::move(token));
    }
    return true;
  });
}

}  // namespace gantry::server::testing
