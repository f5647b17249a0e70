// A host's end of the link to managers on other machines. Connects by itself and again whenever the connection ends,
// trying one address after another, more and more slowly up to every 5 s; renews its certificate when two thirds of its
// life are over, and goes on with the new one over a new connection.
//
// Threads: port::HostLink's methods and start() on the executor's thread. stop() from another one, while the executor
// runs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "link/authority.h"
#include "port/executor.h"
#include "port/link.h"

namespace gantry::link {

// What makes a machine a host of a cluster.
struct HostCredentials {
  std::string host_id;
  std::string host_name;
  // Of the managers' links: "HOST:PORT".
  std::vector<std::string> addresses;
  std::string authority_pem;
  Credentials own;
};

struct HostLinkOptions {
  // Keeps renewed credentials so that they are there after a crash; until it has, the old ones stay in use.
  std::function<Result<void>(const HostCredentials&)> keep;
  // One line each; may be empty.
  std::function<void(std::string_view)> log = {};
  // Called on the executor before the connection is told of; may be empty. The manager's end as gRPC writes it:
  // "ipv4:192.0.2.1:8444".
  std::function<void(const std::string& peer)> connected_to = {};
  Milliseconds ping_ms = 5'000;
  Milliseconds first_pause_ms = 200;
  Milliseconds last_pause_ms = 5'000;
};

class GrpcHostLink final : public port::HostLink {
 public:
  // `executor` must outlive it.
  GrpcHostLink(port::Executor& executor, HostCredentials credentials, HostLinkOptions options);
  // Stops.
  ~GrpcHostLink() override;
  GrpcHostLink(const GrpcHostLink&) = delete;
  GrpcHostLink& operator=(const GrpcHostLink&) = delete;

  // Once, after the handlers are set.
  void start();
  // Harmless when repeated.
  void stop();

  void send(const v1::FromHost& message) override;
  void on_message(std::function<void(const v1::ToHost&)> handler) override;
  void on_connection(std::function<void(bool connected)> handler) override;

 private:
  class Client;
  std::shared_ptr<Client> client_;
};

}  // namespace gantry::link
