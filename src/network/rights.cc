#include "network/rights.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>

#include "runtime/files.h"
#include "runtime/process.h"

namespace gantry::network {
namespace {

constexpr unsigned kNetAdmin = 12;  // CAP_NET_ADMIN of linux/capability.h

std::string cannot_run(const std::string& program, const std::string& package, const Error& error) {
  if (error.code == ErrorCode::unsupported) return program + " is not installed (package " + package + ")";
  return program + " does not work here: " + error.cause;
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
  const auto status = runtime::read_file("/proc/thread-self/status");
  if (!status || !has_net_admin(*status)) return "gantryd has no right to change this host's network (CAP_NET_ADMIN)";
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) return "this host has no usable /dev/net/tun";
  if (auto ran = runtime::run_process({.argv = {"nft", "list", "tables"}, .timeout_ms = 10'000}); !ran) {
    return cannot_run("nft", "nftables", ran.error());
  }
  if (kind != v1::NetworkSpec::NAT) return {};
  if (auto ran = runtime::run_process({.argv = {"dnsmasq", "--version"}, .timeout_ms = 10'000}); !ran) {
    return cannot_run("dnsmasq", "dnsmasq-base", ran.error());
  }
  return {};
}

}  // namespace gantry::network
