// The API edge: HTTPS, events, consoles and uploads over the manager, the store and the consoles.
//
// Threads: start() and stop() from one thread, which must be neither the store's nor the manager's; everything else
// happens on a thread of the server's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "gantry/v1/storage.pb.h"
#include "port/console.h"
#include "port/manager.h"
#include "port/store.h"

namespace gantry::server {

// What a token for a new host says of the cluster.
struct JoinPoint {
  // Of the managers' host links: "192.0.2.1:8444".
  std::vector<std::string> addresses;
  // SHA-256 of the authority's certificate, 32 bytes.
  std::string authority_fingerprint;
};

struct ApiServerOptions {
  // IP addresses to listen on; beyond loopback only when asked for.
  std::vector<std::string> addresses = {"127.0.0.1"};
  // 0: the system chooses one (the same for all addresses).
  std::uint16_t port = 8443;
  // PEM files. Made at first start when there is no certificate; taken anew when they change.
  std::string certificate_path = {};
  std::string key_path = {};
  // A bearer token that acts as user "local-root", from a file that only root can read; empty: none.
  std::string local_token = {};
  std::string version = {};
  // Where the content of an image is to be written; called on the server's thread, must not block for long. Its
  // directory must be there. The file is announced to the manager by UploadImage when it is complete.
  std::function<Result<std::string>(const v1::Image&)> upload_path = {};
  // The host of this machine, whose guests' consoles can be opened; empty: all are of it.
  std::string own_host_id = {};
  // Every request is answered so: of a manager that does not lead. It has no users then, nor makes any. May be empty;
  // called on the server's thread.
  std::function<Error()> refuses = {};
  // Nothing: no hosts can join.
  std::optional<JoinPoint> join_point = {};
  // 0: no limit.
  std::uint64_t upload_bytes_max = 0;
  std::size_t uploads_max = 4;
  // When so many are open, a newcomer takes the place of one that nothing is under way on, if there is one.
  std::size_t connections_max = 512;
  std::size_t event_clients_max = 64;
  // For a whole request header, counted from the end of the answer before: also how long an idle connection stays.
  Milliseconds header_timeout_ms = 30'000;
  // For a whole JSON body, and for each piece of an upload.
  Milliseconds body_timeout_ms = 30'000;
  // For the manager to answer (then 504), and for a client to take an answer.
  Milliseconds answer_timeout_ms = 60'000;
  // Comments to event clients; credentials of events and consoles are checked again as often.
  Milliseconds heartbeat_ms = 15'000;
  // How long stop() lets requests under way go on.
  Milliseconds shutdown_ms = 3'000;
  // A client of events or of a console that has so much waiting is cut off.
  std::size_t client_buffer_bytes_max = 1U << 20U;
  // Where the audit is kept; empty: in the log alone.
  std::string audit_directory = {};
  // For tests; empty: the real clock.
  std::function<Now()> now = {};
};

struct ApiServerStarted {
  std::uint16_t port = 0;
  // The password of user "admin" when this was the first start: to be shown once. Else empty.
  std::string first_password = {};
};

class ApiServer {
 public:
  // All three must outlive it.
  ApiServer(ApiServerOptions options, port::Manager& manager, port::Store& store, port::Console& console);
  // Stops.
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // Once. Makes certificate and first user, listens, and returns when clients can connect.
  Result<ApiServerStarted> start();
  // Lets requests under way end (shutdown_ms), then closes everything. Harmless when repeated.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gantry::server
