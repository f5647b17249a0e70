#include "app/daemon/cluster_node.h"

#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "app/daemon/authority_store.h"
#include "app/daemon/cluster_file.h"
#include "app/daemon/local_access.h"
#include "app/daemon/manager_link.h"
#include "app/daemon/open_store.h"
#include "app/daemon/standby.h"
#include "app/daemon/store_calls.h"
#include "app/daemon/wait_for_end.h"
#include "link/authority.h"
#include "model/join_token.h"
#include "model/keys.h"
#include "qemu/console_hub.h"
#include "runtime/clock.h"
#include "runtime/files.h"

namespace gantry::app {
namespace {

const auto kNothing = [] { return Result<void>(); };

v1::Leader about(const DaemonOptions& options) {
  v1::Leader leader;
  leader.set_name(options.host_name);
  for (const std::string& address : api_addresses(options, options.listen_port)) leader.add_api_addresses(address);
  return leader;
}

// A certificate for the host of this machine, of the cluster's own authority.
Result<link::HostCredentials> issue(const link::Credentials& authority, const std::string& host_id,
                                    const std::string& host_name, std::vector<std::string> addresses) {
  auto key = link::make_key_request();
  if (!key) return fail(key.error());
  const Milliseconds now_ms = runtime::real_now().unix_ms;
  auto certificate = link::sign_host(authority, key->request_pem, host_id, {now_ms, now_ms + link::kHostCertificateMs});
  if (!certificate) return fail(certificate.error());
  return link::HostCredentials{.host_id = host_id,
                               .host_name = host_name,
                               .addresses = std::move(addresses),
                               .authority_pem = authority.certificate_pem,
                               .own = {std::move(*certificate), std::move(key->key_pem)}};
}

// Whether this machine may make itself a host: it has a record, or is the first.
Result<bool> is_first_or_known(port::Store& store, const std::string& host_id) {
  const auto hosts = wait_for_range(store, {.first = model::prefix_of(model::kHost)});
  if (!hosts) return fail(ErrorCode::unavailable, "the hosts on record cannot be read");
  if (hosts->entries.empty()) return true;
  const std::string own = model::record_key(model::kHost, host_id);
  return std::any_of(hosts->entries.begin(), hosts->entries.end(),
                     [&own](const port::Entry& entry) { return entry.key == own; });
}

}  // namespace

Result<void> use_given_addresses(const DaemonOptions& options, link::HostCredentials& credentials) {
  if (options.link_addresses.empty()) return {};
  auto addresses = announced_addresses(options, options.link_port);
  if (!addresses) return fail(addresses.error());
  credentials.addresses = std::move(*addresses);
  return {};
}

ClusterNode::ClusterNode(const DaemonOptions& options, DaemonState state, const sigset_t& signals)
    : options_(options), state_(std::move(state)), signals_(signals) {
  // Its own host connects to it, if nobody else does.
  if (options_.link_listen.empty()) options_.link_listen = "127.0.0.1";
}

Result<void> ClusterNode::serve(const std::optional<link::HostCredentials>& joined) {
  if (auto made = runtime::make_directories(options_.state_directory + "/tls", 0700); !made) return made;
  auto token = random_hex(32);
  if (!token) return fail(token.error());
  token_ = std::move(*token);
  if (joined) {
    if (auto begun = begin_host(*joined); !begun) return begun;
  }
  for (;;) {
    const auto ended = serve_term();
    if (!ended) return fail(ended.error());
    if (*ended) break;
  }
  sd_notify(0, "STOPPING=1");
  withdraw_local_access(options_);
  return {};
}

Result<bool> ClusterNode::serve_term() {
  KnownLeader known;
  std::optional<Standby> standby(std::in_place, options_, known);
  const auto port = standby->start();
  if (!port) return fail(port.error());
  // The same once it leads.
  options_.listen_port = *port;
  if (auto offered = offer(*port); !offered) return fail(offered.error());
  spdlog::info("gantryd {} stands by at https://{}:{}", GANTRY_VERSION, options_.listen_address, *port);
  sd_notify(0, "READY=1");

  // The store still answers when those who asked have ended.
  runtime::EventLoop election_loop;
  runtime::EventLoop manager_loop;
  auto store = wait_for_store(known);
  if (!store) return fail(store.error());
  if (*store == nullptr) return true;
  Election election(election_loop, **store, known, about(options_));
  const auto decided = [&election] { return election.fence() || election.lost(); };
  if (wait_for_end(
          signals_, options_, [&] { return offer(*port); }, decided) != 0)
    return true;
  standby.reset();
  const auto led = lead(**store, manager_loop, election);
  if (led || led.error().code != ErrorCode::unavailable) return led;
  // The store has fallen silent since, say: another leads, or this one a moment later.
  spdlog::warn("this manager does not lead after all: {}", led.error().to_text());
  return signal_comes_soon();
}

Result<bool> ClusterNode::lead(port::Store& store, runtime::EventLoop& loop, const Election& election) {
  const auto own = own_host_id(store);
  if (!own) return fail(own.error());
  const port::Compare fence = *election.fence();
  LeadingManager manager(options_, loop, store, fence, state_.seed + fence.modified, *own);
  auto point = manager.listen();
  if (!point) return fail(point.error());
  if (auto made = ensure_own_host(store, *point, manager.own_host_id()); !made) return fail(made.error());
  // Its guests are elsewhere.
  runtime::EventLoop still;
  qemu::ConsoleHub no_consoles(still);
  const auto started = manager.serve(host_ ? host_->consoles() : no_consoles, token_, std::move(*point));
  if (!started) return fail(started.error());
  print_first_password(started->first_password);
  if (auto offered = offer(started->port); !offered) return fail(offered.error());
  spdlog::info("this manager leads, and serves https://{}:{}", options_.listen_address, started->port);
  const auto lost = [&election] { return election.lost().has_value(); };
  if (wait_for_end(
          signals_, options_, [&] { return offer(started->port); }, lost) != 0)
    return true;
  spdlog::warn("this manager leads no more: {}; guests go on running", *election.lost());
  return false;
}

Result<std::unique_ptr<port::Store>> ClusterNode::wait_for_store(KnownLeader& known) {
  for (;;) {
    auto store = open_cluster_store(options_);
    if (store) return store;
    if (store.error().code != ErrorCode::unavailable) return fail(store.error());
    known.set(std::nullopt, store.error().summary + ": " + store.error().cause);
    if (signal_comes_soon()) return std::unique_ptr<port::Store>();
  }
}

bool ClusterNode::signal_comes_soon() const {
  bool waited = false;
  return wait_for_end(signals_, options_, kNothing, [&waited] { return std::exchange(waited, true); }) != 0;
}

Result<void> ClusterNode::ensure_own_host(port::Store& store, const server::JoinPoint& point,
                                          const std::string& own_host_id) {
  if (host_) return {};
  if (own_host_id.empty()) {
    spdlog::info("no guests run on this machine: it has not joined as a host (gantry host token, gantryd join)");
    return {};
  }
  const auto authority = ensure_authority(store, runtime::real_now());
  if (!authority) return fail(authority.error());
  std::vector<std::string> addresses = point.addresses;
  // While its network is not up.
  if (addresses.empty()) addresses = {model::format_link_address("127.0.0.1", options_.link_port)};
  auto credentials = issue(*authority, state_.host_id, options_.host_name, std::move(addresses));
  if (!credentials) return fail(credentials.error());
  if (auto kept = write_cluster(options_.state_directory, *credentials); !kept) return kept;
  return begin_host(std::move(*credentials));
}

Result<void> ClusterNode::begin_host(link::HostCredentials credentials) {
  if (auto used = use_given_addresses(options_, credentials); !used) return used;
  auto host = HostRole::make(options_, state_.incarnation, credentials);
  if (!host) return fail(host.error());
  host_ = std::move(*host);
  host_id_ = credentials.host_id;
  host_->start();
  return {};
}

Result<void> ClusterNode::offer(std::uint16_t port) { return offer_local_access(options_, port, token_); }

// Also before it is one: the record of the first is made when it first speaks.
Result<std::string> ClusterNode::own_host_id(port::Store& store) const {
  if (host_) return host_id_;
  const auto wanted = is_first_or_known(store, state_.host_id);
  if (!wanted) return fail(wanted.error());
  return *wanted ? state_.host_id : std::string();
}

}  // namespace gantry::app
