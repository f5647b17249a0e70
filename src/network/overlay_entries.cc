#include "network/overlay_entries.h"

#include <nlohmann/json.hpp>

#include "model/ipv4.h"
#include "model/mac.h"
#include "runtime/process.h"

namespace gantry::network {
namespace {

using Json = nlohmann::json;

constexpr char kEverybody[] = "00:00:00:00:00:00";
constexpr Milliseconds kBridgeMs = 30'000;

std::string text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void take_line(const Json& line, OverlayState& state) {
  const std::string mac = text_of(line, "mac");
  const std::string host = text_of(line, "dst");
  const bool is_mac = model::parse_mac(mac).has_value();
  if (!host.empty() && model::parse_ipv4(host)) {
    if (mac == kEverybody) state.flooded.insert(host);
    if (is_mac) state.hosts[mac] = host;
  } else if (is_mac && !text_of(line, "master").empty() && text_of(line, "state") == "static") {
    // The device's own addresses are "permanent".
    state.bridged.insert(mac);
  }
}

}  // namespace

OverlayState wanted_state(const std::vector<v1::OverlayEntry>& entries) {
  OverlayState state;
  for (const auto& entry : entries) {
    const auto mac = model::parse_mac(entry.mac());
    const auto host = model::parse_ipv4(entry.address());
    if (!mac || !host) continue;
    state.hosts[*mac] = model::format_ipv4(*host);
    state.bridged.insert(*mac);
    state.flooded.insert(model::format_ipv4(*host));
  }
  return state;
}

Result<OverlayState> parse_state(std::string_view json) {
  const Json all = Json::parse(json, nullptr, false);
  if (!all.is_array()) return fail(ErrorCode::corrupt, "the program bridge answered something that is no list");
  OverlayState state;
  for (const auto& line : all) {
    if (line.is_object()) take_line(line, state);
  }
  return state;
}

std::string state_changes(const std::string& device, const OverlayState& is, const OverlayState& wanted) {
  std::string batch;
  const std::string dev = " dev " + device;
  for (const auto& [mac, host] : wanted.hosts) {
    const auto found = is.hosts.find(mac);
    if (found != is.hosts.end() && found->second == host) continue;
    batch += "fdb replace " + mac + dev + " dst " + host + " self static\n";
  }
  for (const auto& mac : wanted.bridged) {
    if (!is.bridged.contains(mac)) batch += "fdb replace " + mac + dev + " master static\n";
  }
  for (const auto& host : wanted.flooded) {
    if (!is.flooded.contains(host))
      batch += std::string("fdb append ") + kEverybody + dev + " dst " + host + " self permanent\n";
  }
  for (const auto& mac : is.bridged) {
    if (!wanted.bridged.contains(mac)) batch += "fdb del " + mac + dev + " master\n";
  }
  for (const auto& [mac, host] : is.hosts) {
    if (!wanted.hosts.contains(mac)) batch += "fdb del " + mac + dev + " self\n";
  }
  for (const auto& host : is.flooded) {
    if (!wanted.flooded.contains(host))
      batch += std::string("fdb del ") + kEverybody + dev + " dst " + host + " self\n";
  }
  return batch;
}

Result<OverlayState> read_overlay_entries(const std::string& device) {
  const auto shown =
      runtime::run_process({.argv = {"bridge", "-json", "fdb", "show", "dev", device}, .timeout_ms = kBridgeMs});
  if (!shown) return fail(shown.error());
  return parse_state(shown->out.empty() ? "[]" : shown->out);
}

Result<void> set_overlay_entries(const std::string& device, const OverlayState& wanted) {
  const auto is = read_overlay_entries(device);
  if (!is) return fail(is.error());
  const std::string batch = state_changes(device, *is, wanted);
  if (batch.empty()) return {};
  const auto changed =
      runtime::run_process({.argv = {"bridge", "-force", "-batch", "-"}, .input = batch, .timeout_ms = kBridgeMs});
  if (changed) return {};
  // A line that changes nothing any more fails too; what counts is what is.
  const auto after = read_overlay_entries(device);
  if (after && *after == wanted) return {};
  return fail(changed.error());
}

}  // namespace gantry::network
