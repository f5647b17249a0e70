// What the API edge asks of the manager's decisions: one entry for every READ and CHANGE route of routes.proto and for
// CancelTask. Sign-in is the edge's own affair.
//
// Threads: may be called from any thread; `done` comes on the manager's executor.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace gantry::port {

struct CallOptions {
  // The user's name, already authenticated.
  std::string actor;
  bool dry_run = false;
  // From If-Match; 0: none. A record that changed since is a conflict with reason "revision_changed".
  std::uint64_t if_match = 0;
  std::string idempotency_key = {};
};

class Manager {
 public:
  virtual ~Manager() = default;
  using Answer = std::function<void(Result<std::unique_ptr<google::protobuf::Message>>)>;
  // `rpc` is the method's name in service Gantry ("CreateVm"); `request` and the answer are of its types. A CHANGE that
  // was accepted is durable before `done` is called.
  virtual void call(const std::string& rpc, const google::protobuf::Message& request, const CallOptions& options,
                    Answer done) = 0;
};

}  // namespace gantry::port
