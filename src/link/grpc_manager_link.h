// The manager's end of the link to hosts on other machines, beside the one to the host in its own process.
//
// Who a host is, is what its certificate says: whatever id its messages carry is replaced by that one. A host that is
// no member is refused, and one that leaves is cut off at once. Join alone needs no certificate.
//
// A host that reads slowly gets the newest of each record (outbox.h); one that sends too fast is read more slowly. A
// connection that is dead is seen within two pings.
//
// Threads: port::ManagerLink's methods on the executor's thread. listen() and stop() from another one, while the
// executor runs.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gantry/v1/host.pb.h"
#include "gantry/v1/join.pb.h"
#include "link/authority.h"
#include "port/executor.h"
#include "port/link.h"

namespace gantry::link {

struct ManagerLinkOptions {
  // An IP address; 0.0.0.0 and :: are all of this machine's.
  std::string address = "127.0.0.1";
  // 0: the system chooses one.
  std::uint16_t port = 0;
  Milliseconds host_certificate_ms = kHostCertificateMs;
  Milliseconds ping_ms = 5'000;
};

// Whether a machine may join: answered, on the executor, with the record that was made for it.
using JoinDone = std::function<void(Result<v1::Host>)>;
using JoinHandler = std::function<void(const v1::JoinRequest& request, JoinDone done)>;

class GrpcManagerLink final : public port::ManagerLink {
 public:
  // Both must outlive it. `local` serves the hosts that are not connected from outside.
  GrpcManagerLink(port::Executor& executor, port::ManagerLink& local);
  ~GrpcManagerLink() override;
  GrpcManagerLink(const GrpcManagerLink&) = delete;
  GrpcManagerLink& operator=(const GrpcManagerLink&) = delete;

  // Once. The port it listens on; unavailable when it cannot.
  Result<std::uint16_t> listen(const Credentials& authority, const ManagerLinkOptions& options, JoinHandler on_join);
  // Ends all connections. Harmless when repeated, or without listen().
  void stop();

  void send(const std::string& host_id, const v1::ToHost& message) override;
  void on_message(std::function<void(const v1::FromHost&)> handler) override;
  void on_connection(std::function<void(const std::string& host_id, bool connected)> handler) override;
  void on_admission(std::function<port::Standing(const std::string& host_id)> handler) override;
  void drop(const std::string& host_id) override;

 private:
  struct Server;
  std::unique_ptr<Server> server_;
};

}  // namespace gantry::link
