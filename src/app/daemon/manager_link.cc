#include "app/daemon/manager_link.h"

#include <spdlog/spdlog.h>

#include "app/daemon/authority_store.h"
#include "app/daemon/overlay_address.h"
#include "base/hex.h"
#include "gantry/v1/routes.pb.h"
#include "model/bridge_name.h"
#include "model/join_token.h"
#include "model/sha256.h"
#include "runtime/clock.h"
#include "runtime/machine_addresses.h"

namespace gantry::app {
namespace {

constexpr std::size_t kAddressesMax = 8;

// Not of a network of this machine's guests.
std::vector<std::string> own_addresses() {
  std::vector<std::string> addresses;
  for (auto& one : runtime::machine_addresses()) {
    const bool serves = one.up && one.interface.rfind(model::kBridgePrefix, 0) != 0;
    if (serves && addresses.size() < kAddressesMax) addresses.push_back(std::move(one.text));
  }
  return addresses;
}

// What a machine says that wants to join, as the manager is asked.
link::JoinHandler join_handler(port::Manager& manager) {
  return [&manager](const v1::JoinRequest& request, link::JoinDone done) {
    v1::AdmitHostRequest asked;
    asked.set_secret_hash(model::sha256_hex(request.secret()));
    asked.set_host_name(request.host_name());
    asked.set_pool_path(request.pool_path());
    *asked.mutable_taken_subnets() = request.taken_subnets();
    manager.call("AdmitHost", asked, {.actor = "host-token"}, [done = std::move(done)](auto answer) {
      if (!answer) return done(fail(answer.error()));
      const auto& task = dynamic_cast<const v1::Accepted&>(**answer).task();
      spdlog::info("host {} ({}) has joined with a token of {}", task.target_name(), task.target_id(), task.actor());
      v1::Host host;
      host.mutable_meta()->set_id(task.target_id());
      host.mutable_meta()->set_name(task.target_name());
      done(std::move(host));
    });
  };
}

}  // namespace

std::string own_address(const DaemonOptions& options) {
  const bool everywhere = options.link_listen == "0.0.0.0" || options.link_listen == "::";
  if (!everywhere) return options.link_listen;
  // Of documentation (RFC 5737): the way there is the way out, wherever that is.
  return choose_overlay_address(options.link_addresses, runtime::machine_addresses(),
                                runtime::address_towards("192.0.2.1:9"));
}

Result<std::vector<std::string>> announced_addresses(const DaemonOptions& options, std::uint16_t port) {
  std::vector<std::string> hosts = options.link_addresses;
  const bool everywhere = options.link_listen == "0.0.0.0" || options.link_listen == "::";
  if (hosts.empty() && !everywhere) hosts = {options.link_listen};
  if (hosts.empty()) hosts = own_addresses();
  if (hosts.size() > model::kJoinAddressesMax) {
    return fail(ErrorCode::invalid_argument, "--link-address is given too often",
                "a token has room for " + std::to_string(model::kJoinAddressesMax) + " addresses", "leave some out");
  }
  std::vector<std::string> addresses;
  for (const std::string& host : hosts) {
    // With a port of its own when something stands between.
    const std::string address = model::parse_link_address(host) ? host : model::format_link_address(host, port);
    if (auto parsed = model::parse_link_address(address); !parsed) {
      return fail(ErrorCode::invalid_argument, "--link-address " + host + " cannot be used", parsed.error().cause,
                  "give a name or an address, or either with :PORT");
    }
    addresses.push_back(address);
  }
  return addresses;
}

std::vector<std::string> api_addresses(const DaemonOptions& options, std::uint16_t port) {
  const bool everywhere = options.listen_address == "0.0.0.0" || options.listen_address == "::";
  std::vector<std::string> addresses;
  for (const std::string& host : everywhere ? own_addresses() : std::vector{options.listen_address}) {
    addresses.push_back("https://" + model::format_link_address(host, port));
  }
  return addresses;
}

Result<server::JoinPoint> listen_for_hosts(const DaemonOptions& options, port::Store& store, port::Manager& manager,
                                           link::GrpcManagerLink& link) {
  auto authority = ensure_authority(store, runtime::real_now());
  if (!authority) return fail(std::move(authority.error()));
  const auto fingerprint = link::fingerprint_of(authority->certificate_pem);
  if (!fingerprint) return fail(fingerprint.error());
  link::ManagerLinkOptions listening;
  listening.address = options.link_listen;
  listening.port = options.link_port;
  const auto port = link.listen(*authority, listening, join_handler(manager));
  if (!port) return fail(port.error());
  auto addresses = announced_addresses(options, *port);
  if (!addresses) return fail(std::move(addresses.error()));
  std::string told;
  for (const std::string& address : *addresses) told += " " + address;
  spdlog::info("listening for hosts on {}; tokens name{}", model::format_link_address(options.link_listen, *port),
               told.empty() ? " nothing: this machine has no address beyond its loopback" : told);
  return server::JoinPoint{std::move(*addresses), from_hex(*fingerprint)};
}

}  // namespace gantry::app
