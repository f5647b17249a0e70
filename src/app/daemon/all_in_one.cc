#include "app/daemon/all_in_one.h"

#include "app/daemon/machine.h"
#include "app/daemon/manager_link.h"
#include "app/daemon/manager_parts.h"
#include "app/daemon/metrics_api.h"
#include "app/daemon/open_store.h"
#include "app/daemon/store_move.h"
#include "control/manager.h"
#include "link/grpc_manager_link.h"
#include "link/local_link.h"
#include "runtime/files.h"
#include "server/api_server.h"

namespace gantry::app {

std::string store_path(const std::string& state_directory) { return state_directory + "/gantry.db"; }

// In the order of making; destroyed the other way round.
struct AllInOne::Parts {
  Parts(const DaemonOptions& given, DaemonState kept, std::unique_ptr<port::Store> opened)
      : options(given),
        state(std::move(kept)),
        machine(given, [given] { return own_address(given); }),
        store(std::move(opened)),
        local(machine.loop),
        link(machine.loop, local.manager_end()),
        recorder(machine.loop, metrics_directory(given)),
        manager(*store, link, machine.loop, manager_options(given, state.seed, {state.host_id}, &recorder)),
        api(manager, recorder, machine.loop),
        host(machine.ports(local.host_end()),
             host_options(given, {state.host_id, given.host_name, state.incarnation})) {}

  ~Parts() {
    if (server) server->stop();
    link.stop();
    machine.stop();
    server.reset();
  }

  DaemonOptions options;
  DaemonState state;
  Machine machine;
  // What it still has to answer when it ends is answered on the machine's loop.
  std::unique_ptr<port::Store> store;
  link::LocalLink local;
  link::GrpcManagerLink link;
  metrics::Recorder recorder;
  control::ManagerCore manager;
  MetricsApi api;
  host::HostCore host;
  std::unique_ptr<server::ApiServer> server;
};

AllInOne::AllInOne(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
AllInOne::~AllInOne() = default;

Result<std::unique_ptr<AllInOne>> AllInOne::make(const DaemonOptions& options, DaemonState state) {
  if (auto made = runtime::make_directories(options.state_directory + "/tls", 0700); !made) return fail(made.error());
  if (auto made = make_machine_directories(options); !made) return fail(made.error());
  auto store = open_file_store(options);
  if (!store) return fail(store.error());
  if (auto here = refuse_moved(**store); !here) return fail(here.error());
  return std::unique_ptr<AllInOne>(new AllInOne(std::make_unique<Parts>(options, std::move(state), std::move(*store))));
}

Result<AllInOneStarted> AllInOne::start(const std::string& local_token) {
  Parts& parts = *parts_;
  parts.manager.start();
  parts.host.start();
  parts.local.connect(parts.state.host_id);
  parts.machine.start();

  ApiParts with{.local_token = local_token, .own_host_id = parts.state.host_id, .join_point = {}};
  if (!parts.options.link_listen.empty()) {
    auto point = listen_for_hosts(parts.options, *parts.store, parts.manager, parts.link);
    if (!point) return fail(std::move(point.error()));
    with.join_point = std::move(*point);
  }
  parts.server = std::make_unique<server::ApiServer>(api_options(parts.options, parts.manager, std::move(with)),
                                                     parts.api, *parts.store, parts.machine.consoles);
  const auto started = parts.server->start();
  if (!started) return fail(started.error());
  return AllInOneStarted{started->port, started->first_password};
}

}  // namespace gantry::app
