// The stream of one host, at the manager. Internal to src/link.
//
// Threads: gRPC's threads only bring events to the executor; everything is decided, and every operation of the stream
// begun, there. It lives until gRPC is done with it.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string>
#include <string_view>

#include "link/link_hub.h"

namespace gantry::link {

// In the first headers of a stream that was admitted.
inline constexpr std::string_view kAdmittedKey = "gantry-admitted";

class Connection final : public grpc::ServerBidiReactor<v1::FromHost, v1::ToHost> {
 public:
  Connection(std::shared_ptr<LinkHub> hub, grpc::CallbackServerContext& context, HostIdentity identity)
      : hub_(std::move(hub)), context_(context), identity_(std::move(identity)) {}

  // Shows it to the hub. The raw pointer is for gRPC.
  static Connection* open(const std::shared_ptr<LinkHub>& hub, grpc::CallbackServerContext& context,
                          HostIdentity identity);

  [[nodiscard]] const HostIdentity& identity() const { return identity_; }
  // Where it comes from, for the log.
  [[nodiscard]] std::string peer() const { return context_.peer(); }
  void begin();
  void send(const v1::ToHost& message);
  // Once; later ones change nothing.
  void end(const grpc::Status& status);

  // Of gRPC.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  void read_next();
  void read_done(bool ok);
  void write_next();
  void write_done(bool ok);

  std::shared_ptr<LinkHub> hub_;
  grpc::CallbackServerContext& context_;
  HostIdentity identity_;
  std::shared_ptr<Connection> self_;
  ToHostOutbox outbox_;
  v1::FromHost incoming_;
  v1::ToHost outgoing_;
  bool writing_ = false;
  bool finished_ = false;
};

}  // namespace gantry::link
