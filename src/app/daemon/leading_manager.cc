#include "app/daemon/leading_manager.h"

#include <thread>
#include <utility>

#include "app/daemon/manager_link.h"
#include "app/daemon/manager_parts.h"
#include "app/daemon/metrics_api.h"
#include "control/manager.h"
#include "link/grpc_manager_link.h"
#include "link/local_link.h"
#include "store/fenced_store.h"

namespace gantry::app {

// In the order of making; destroyed the other way round.
struct LeadingManager::Parts {
  Parts(const DaemonOptions& given, runtime::EventLoop& on, port::Store& shared, const port::Compare& fence,
        std::uint64_t seed, const std::string& own_host)
      : options(given),
        own_host_id(own_host),
        loop(on),
        store(shared, fence),
        nobody(loop),
        link(loop, nobody.manager_end()),
        recorder(loop, metrics_directory(given)),
        manager(
            store, link, loop,
            manager_options(given, seed, own_host.empty() ? std::set<std::string>{} : std::set{own_host}, &recorder)),
        api(manager, recorder, loop) {}

  ~Parts() {
    // First the hosts: they are to look for another manager.
    link.stop();
    if (server) server->stop();
    loop.stop();
    if (thread.joinable()) thread.join();
    server.reset();
  }

  const DaemonOptions options;
  const std::string own_host_id;
  runtime::EventLoop& loop;
  store::FencedStore store;
  link::LocalLink nobody;
  link::GrpcManagerLink link;
  metrics::Recorder recorder;
  control::ManagerCore manager;
  MetricsApi api;
  std::unique_ptr<server::ApiServer> server;
  std::thread thread;
};

LeadingManager::LeadingManager(const DaemonOptions& options, runtime::EventLoop& loop, port::Store& store,
                               const port::Compare& fence, std::uint64_t seed, const std::string& own_host_id)
    : parts_(std::make_unique<Parts>(options, loop, store, fence, seed, own_host_id)) {}

LeadingManager::~LeadingManager() = default;

const std::string& LeadingManager::own_host_id() const { return parts_->own_host_id; }

Result<server::JoinPoint> LeadingManager::listen() {
  Parts& parts = *parts_;
  parts.manager.start();
  parts.thread = std::thread([&parts] { parts.loop.run(); });
  return listen_for_hosts(parts.options, parts.store, parts.manager, parts.link);
}

Result<AllInOneStarted> LeadingManager::serve(port::Console& consoles, const std::string& local_token,
                                              server::JoinPoint point) {
  Parts& parts = *parts_;
  ApiParts with{.local_token = local_token, .own_host_id = parts.own_host_id, .join_point = std::move(point)};
  parts.server = std::make_unique<server::ApiServer>(api_options(parts.options, parts.manager, std::move(with)),
                                                     parts.api, parts.store, consoles);
  const auto started = parts.server->start();
  if (!started) return fail(started.error());
  return AllInOneStarted{started->port, started->first_password};
}

}  // namespace gantry::app
