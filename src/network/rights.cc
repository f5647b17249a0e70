#include "network/rights.h"

#include <unistd.h>

#include <charconv>
#include <cstdint>

#include "model/network_kinds.h"
#include "network/links.h"
#include "network/names.h"
#include "network/rules.h"
#include "runtime/files.h"
#include "runtime/process.h"

namespace gantry::network {
namespace {

constexpr unsigned kNetAdmin = 12;  // CAP_NET_ADMIN of linux/capability.h

std::string cannot_run(const std::string& program, const std::string& package, const Error& error) {
  if (error.code == ErrorCode::unsupported) return program + " is not installed (package " + package + ")";
  return program + " does not work here: " + error.cause;
}

// The rules of a made-up network and card, which the kernel checks and drops: it tells whether it knows all it needs.
std::string sample_rules(v1::NetworkSpec::Kind kind) {
  NatPlan network{"net-000000000000", bridge_name("net-000000000000"), {{0xc0000200}, 24}, {0xc0000201}, "gantry"};
  NicPlan nic;
  nic.kind = kind;
  nic.tap = tap_name("vm-000000000000", 0);
  nic.bridge = network.bridge;
  nic.mac = "52:54:00:00:00:01";
  nic.ipv4 = model::Ipv4Address{0xc0000202};
  return (model::has_gateway(kind) ? network_rules(network) : "") + nic_rules(nic);
}

std::string why_no_rules(const std::string& rules) {
  const auto status = runtime::read_file("/proc/thread-self/status");
  if (!status || !has_net_admin(*status)) return "gantryd has no right to change this host's network (CAP_NET_ADMIN)";
  const runtime::ProcessRequest check{.argv = {"nft", "-c", "-f", "-"}, .input = rules, .timeout_ms = 10'000};
  const auto ran = runtime::run_process(check);
  return ran ? "" : cannot_run("nft", "nftables", ran.error());
}

// The capability alone tells little: in a container it may be that of another network namespace's owner.
std::string why_no_devices(v1::NetworkSpec::Kind kind) {
  if (kind != v1::NetworkSpec::BRIDGE) {
    if (auto tried = try_to_make_bridge(); !tried) return "no bridge can be made here: " + tried.error().to_text();
  }
  if (auto tried = try_to_make_tap(); !tried) return "no tap can be made here: " + tried.error().to_text();
  return {};
}

}  // namespace

bool has_net_admin(std::string_view status) {
  constexpr std::string_view kLabel = "CapEff:\t";
  const auto at = status.find(kLabel);
  if (at == std::string_view::npos) return false;
  std::uint64_t set = 0;
  const char* begin = status.data() + at + kLabel.size();
  std::from_chars(begin, status.data() + status.size(), set, 16);
  return (set >> kNetAdmin & 1U) != 0;
}

std::string why_not(v1::NetworkSpec::Kind kind) {
  if (kind == v1::NetworkSpec::USER) return {};
  if (auto why = why_no_rules(sample_rules(kind)); !why.empty()) return why;
  if (auto why = why_no_devices(kind); !why.empty()) return why;
  if (!model::has_gateway(kind)) return {};
  if (::access("/proc/sys/net/ipv4/ip_forward", W_OK) != 0)
    return "gantryd may not change /proc/sys/net/ipv4/ip_forward";
  if (auto ran = runtime::run_process({.argv = {"dnsmasq", "--version"}, .timeout_ms = 10'000}); !ran) {
    return cannot_run("dnsmasq", "dnsmasq-base", ran.error());
  }
  return {};
}

std::string why_no_loopback_guard() { return why_no_rules(loopback_guard()); }

}  // namespace gantry::network
