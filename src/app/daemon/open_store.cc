#include "app/daemon/open_store.h"

#include <arpa/inet.h>
#include <spdlog/spdlog.h>

#include "app/daemon/all_in_one.h"
#include "link/status.h"
#include "runtime/clock.h"
#include "store/etcd_store.h"
#include "store/sqlite_store.h"

namespace gantry::app {
namespace {

bool is_loopback(const std::string& endpoint) {
  const std::string host = endpoint.substr(0, endpoint.rfind(':'));
  in_addr address{};
  if (::inet_pton(AF_INET, host.c_str(), &address) == 1) return (ntohl(address.s_addr) >> 24U) == IN_LOOPBACKNET;
  return host == "[::1]" || host == "localhost";
}

}  // namespace

Result<std::unique_ptr<port::Store>> open_cluster_store(const DaemonOptions& options) {
  link::silence_grpc();
  auto endpoints = store::parse_etcd_address(options.store);
  if (!endpoints) return fail(endpoints.error());
  store::EtcdStoreOptions etcd;
  etcd.endpoints = std::move(*endpoints);
  etcd.ca_path = options.store_ca;
  etcd.certificate_path = options.store_certificate;
  etcd.key_path = options.store_key;
  etcd.clock = runtime::real_now;
  // A read gives a node that stands still a third of it: the lead must be kept alive at another before its lease ends.
  etcd.request_timeout_ms = 3'000;
  etcd.notice = [](const std::string& notice) { spdlog::warn("{}", notice); };
  for (const std::string& endpoint : etcd.endpoints) {
    if (!etcd.ca_path.empty() || is_loopback(endpoint)) continue;
    spdlog::warn("records go to etcd {} as plain text, and anyone may pose as it: give --store-ca", endpoint);
  }
  return store::open_etcd_store(std::move(etcd));
}

Result<std::unique_ptr<port::Store>> open_file_store(const DaemonOptions& options) {
  store::SqliteStoreOptions sqlite;
  sqlite.path = store_path(options.state_directory);
  sqlite.clock = runtime::real_now;
  return store::open_sqlite_store(std::move(sqlite));
}

}  // namespace gantry::app
