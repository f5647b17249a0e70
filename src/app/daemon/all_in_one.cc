#include "app/daemon/all_in_one.h"

#include <optional>

#include "app/daemon/machine.h"
#include "app/daemon/manager_link.h"
#include "app/daemon/upload_paths.h"
#include "control/manager.h"
#include "link/grpc_manager_link.h"
#include "link/local_link.h"
#include "network/occupied.h"
#include "runtime/clock.h"
#include "runtime/files.h"
#include "server/api_server.h"
#include "store/sqlite_store.h"

namespace gantry::app {
namespace {

control::ManagerOptions manager_options(const DaemonOptions& options, const DaemonState& state) {
  control::ManagerOptions manager;
  manager.seed = state.seed;
  manager.default_pool_path = default_pool_path(options);
  manager.own_hosts = {state.host_id};
  for (auto& [subnet, device] : network::host_subnets()) manager.taken_subnets.push_back({subnet, std::move(device)});
  return manager;
}

}  // namespace

std::string certificate_path(const DaemonOptions& options) {
  return options.tls_certificate.empty() ? options.state_directory + "/tls/server.crt" : options.tls_certificate;
}

std::string key_path(const DaemonOptions& options) {
  return options.tls_key.empty() ? options.state_directory + "/tls/server.key" : options.tls_key;
}

std::string store_path(const std::string& state_directory) { return state_directory + "/gantry.db"; }

// In the order of making; destroyed the other way round.
struct AllInOne::Parts {
  Parts(const DaemonOptions& given, DaemonState kept, std::unique_ptr<port::Store> opened)
      : options(given),
        state(std::move(kept)),
        machine(given),
        store(std::move(opened)),
        local(machine.loop),
        link(machine.loop, local.manager_end()),
        manager(*store, link, machine.loop, manager_options(given, state)),
        host(machine.ports(local.host_end()),
             host_options(given, machine, {state.host_id, given.host_name, state.incarnation})) {}

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
  control::ManagerCore manager;
  host::HostCore host;
  std::unique_ptr<server::ApiServer> server;
};

AllInOne::AllInOne(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
AllInOne::~AllInOne() = default;

Result<std::unique_ptr<AllInOne>> AllInOne::make(const DaemonOptions& options, DaemonState state) {
  if (auto made = runtime::make_directories(options.state_directory + "/tls", 0700); !made) return fail(made.error());
  if (auto made = make_machine_directories(options); !made) return fail(made.error());
  store::SqliteStoreOptions store_options;
  store_options.path = store_path(options.state_directory);
  store_options.clock = runtime::real_now;
  auto store = store::open_sqlite_store(std::move(store_options));
  if (!store) return fail(store.error());
  return std::unique_ptr<AllInOne>(new AllInOne(std::make_unique<Parts>(options, std::move(state), std::move(*store))));
}

Result<AllInOneStarted> AllInOne::start(const std::string& local_token) {
  Parts& parts = *parts_;
  parts.manager.start();
  parts.machine.address.set(own_link_address(parts.options));
  parts.host.start();
  parts.local.connect(parts.state.host_id);
  parts.machine.start();

  server::ApiServerOptions options;
  if (!parts.options.link_listen.empty()) {
    auto point = listen_for_hosts(parts.options, *parts.store, parts.manager, parts.link);
    if (!point) return fail(std::move(point.error()));
    options.join_point = std::move(*point);
  }
  options.addresses = {parts.options.listen_address};
  options.port = parts.options.listen_port;
  options.certificate_path = certificate_path(parts.options);
  options.key_path = key_path(parts.options);
  options.local_token = local_token;
  options.version = GANTRY_VERSION;
  options.own_host_id = parts.state.host_id;
  options.upload_path = [&manager = parts.manager](const v1::Image& image) { return find_upload_path(manager, image); };
  parts.server =
      std::make_unique<server::ApiServer>(std::move(options), parts.manager, *parts.store, parts.machine.consoles);
  const auto started = parts.server->start();
  if (!started) return fail(started.error());
  return AllInOneStarted{started->port, started->first_password};
}

}  // namespace gantry::app
