#include "app/daemon/manager_parts.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "app/daemon/machine.h"
#include "app/daemon/upload_paths.h"
#include "network/occupied.h"

namespace gantry::app {

control::ManagerOptions manager_options(const DaemonOptions& options, std::uint64_t seed,
                                        std::set<std::string> own_hosts, port::SampleSink* samples) {
  control::ManagerOptions manager;
  manager.log = [](std::string_view line) { spdlog::error("{}", line); };
  manager.seed = seed;
  manager.default_pool_path = default_pool_path(options);
  manager.cpu_overcommit = options.cpu_overcommit;
  manager.own_hosts = std::move(own_hosts);
  manager.samples = samples;
  for (auto& [subnet, device] : network::host_subnets()) manager.taken_subnets.push_back({subnet, std::move(device)});
  return manager;
}

std::string metrics_directory(const DaemonOptions& options) { return options.state_directory + "/metrics"; }

server::ApiServerOptions api_options(const DaemonOptions& options, port::Manager& manager, ApiParts parts) {
  server::ApiServerOptions api;
  api.addresses = {options.listen_address};
  api.port = options.listen_port;
  api.certificate_path = certificate_path(options);
  api.key_path = key_path(options);
  api.local_token = std::move(parts.local_token);
  api.version = GANTRY_VERSION;
  api.audit_directory = options.state_directory + "/audit";
  api.own_host_id = std::move(parts.own_host_id);
  api.join_point = std::move(parts.join_point);
  api.upload_path = [&manager, own_host_id = api.own_host_id, ceph = ceph_directory(options)](const v1::Image& image) {
    return find_upload_path(manager, own_host_id, ceph, image);
  };
  return api;
}

std::string certificate_path(const DaemonOptions& options) {
  return options.tls_certificate.empty() ? options.state_directory + "/tls/server.crt" : options.tls_certificate;
}

std::string key_path(const DaemonOptions& options) {
  return options.tls_key.empty() ? options.state_directory + "/tls/server.key" : options.tls_key;
}

}  // namespace gantry::app
