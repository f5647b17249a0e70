#include "network/devices.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "network/links.h"
#include "network/overlay_rules.h"
#include "runtime/machine_addresses.h"
#include "runtime/process.h"

namespace gantry::network {
namespace {

using Json = nlohmann::json;

constexpr Milliseconds kIpMs = 30'000;
constexpr char kBridgeSettings[] = "/proc/sys/net/bridge";

Result<std::string> run(std::vector<std::string> argv) {
  auto ran = runtime::run_process({.argv = std::move(argv), .timeout_ms = kIpMs});
  if (!ran) return fail(ran.error());
  return std::move(ran->out);
}

// What `ip -json -details link show` says; an empty object when there is no such device.
Json look_at(const std::string& device) {
  const auto text = run({"ip", "-json", "-details", "link", "show", "dev", device});
  if (!text) return Json::object();
  const Json all = Json::parse(*text, nullptr, false);
  return all.is_array() && !all.empty() && all[0].is_object() ? all[0] : Json::object();
}

Json info_of(const Json& link, const std::string& kind) {
  const Json info = link.value("linkinfo", Json::object());
  if (!info.is_object() || info.value("info_kind", "") != kind) return Json::object();
  return info.value("info_data", Json::object());
}

Result<void> make(const std::string& what, const std::vector<std::string>& argv) {
  const auto made = run(argv);
  if (made) return {};
  Error error = made.error();
  error.summary = "cannot make " + what + ": " + error.summary;
  return fail(std::move(error));
}

}  // namespace

Result<void> make_vxlan(const std::string& device, std::uint32_t vni, model::Ipv4Address local) {
  if (link_exists(device)) {
    const Json is = info_of(look_at(device), "vxlan");
    const bool same = is.value("id", 0U) == vni && is.value("local", "") == model::format_ipv4(local) &&
                      is.value("port", 0) == kVxlanPort && !is.value("learning", true);
    if (same) return {};
    if (auto gone = delete_device(device); !gone) return gone;
  }
  return make("the VXLAN device " + device,
              {"ip", "link", "add", device, "type", "vxlan", "id", std::to_string(vni), "local",
               model::format_ipv4(local), "dstport", std::to_string(kVxlanPort), "nolearning"});
}

Result<void> make_vlan(const std::string& device, const std::string& uplink, std::uint16_t vlan) {
  if (link_exists(device)) {
    const Json link = look_at(device);
    const bool same = link.value("link", "") == uplink && info_of(link, "vlan").value("id", 0) == vlan;
    if (same) return {};
    if (auto gone = delete_device(device); !gone) return gone;
  }
  auto made = make("VLAN " + std::to_string(vlan) + " of " + uplink,
                   {"ip", "link", "add", "link", uplink, "name", device, "type", "vlan", "id", std::to_string(vlan)});
  if (made || made.error().to_text().find("Unknown device type") == std::string::npos) return made;
  return fail(ErrorCode::unsupported, "cannot make VLAN " + std::to_string(vlan) + " of " + uplink,
              "this host's kernel makes no VLANs", "load its module 8021q, or boot a kernel that has it", "no_vlans");
}

Result<void> delete_device(const std::string& device) {
  if (!link_exists(device)) return {};
  const auto deleted = run({"ip", "link", "delete", "dev", device});
  if (!deleted && link_exists(device)) return fail(deleted.error());
  return {};
}

Result<void> set_port_learning_off(const std::string& port) {
  return make("the bridge's port " + port, {"bridge", "link", "set", "dev", port, "learning", "off"});
}

Result<void> track_bridge_connections(const std::string& bridge) {
  if (::access(kBridgeSettings, F_OK) != 0) {
    if (auto loaded = run({"modprobe", "br_netfilter"}); !loaded || ::access(kBridgeSettings, F_OK) != 0) {
      return fail(ErrorCode::unsupported, "security groups cannot be held to on this host",
                  "its kernel shows conntrack no bridged packets", "load its module br_netfilter", "no_br_netfilter");
    }
    // For the other bridges of this host everything stays as it was without the module.
    for (const char* name : {"arptables", "iptables", "ip6tables"}) {
      if (auto set = set_sysctl(std::string("bridge/bridge-nf-call-") + name, "0", true); !set) return set;
    }
  }
  const auto set =
      run({"ip", "link", "set", "dev", bridge, "type", "bridge", "nf_call_iptables", "1", "nf_call_ip6tables", "1"});
  return set ? Result<void>() : fail(set.error());
}

std::optional<std::string> device_of(model::Ipv4Address address) {
  const std::string text = model::format_ipv4(address);
  for (const auto& one : runtime::machine_addresses()) {
    if (one.text == text) return one.interface;
  }
  return std::nullopt;
}

}  // namespace gantry::network
