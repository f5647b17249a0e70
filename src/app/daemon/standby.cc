#include "app/daemon/standby.h"

#include <utility>

#include "app/daemon/manager_parts.h"
#include "qemu/console_hub.h"
#include "runtime/event_loop.h"
#include "server/api_server.h"
#include "store/memory_store.h"

namespace gantry::app {
namespace {

// Nothing gets so far.
class NoManager final : public port::Manager {
 public:
  explicit NoManager(const KnownLeader& known) : known_(known) {}
  void call(const std::string&, const google::protobuf::Message&, const port::CallOptions&, Answer done) override {
    done(fail(known_.refusal()));
  }

 private:
  const KnownLeader& known_;
};

server::ApiServerOptions refusing(const DaemonOptions& options, NoManager& manager, const KnownLeader& known) {
  server::ApiServerOptions api = api_options(options, manager, {});
  api.refuses = [&known] { return known.refusal(); };
  return api;
}

}  // namespace

struct Standby::Parts {
  Parts(const DaemonOptions& options, const KnownLeader& known)
      : manager(known), server(refusing(options, manager, known), manager, records, consoles) {}

  // Does not run: there are no records to read, and no guests.
  runtime::EventLoop still;
  store::MemoryStore records{still};
  qemu::ConsoleHub consoles{still};
  NoManager manager;
  server::ApiServer server;
};

Standby::Standby(const DaemonOptions& options, const KnownLeader& known)
    : parts_(std::make_unique<Parts>(options, known)) {}
Standby::~Standby() = default;

Result<std::uint16_t> Standby::start() {
  const auto started = parts_->server.start();
  if (!started) return fail(started.error());
  return started->port;
}

}  // namespace gantry::app
