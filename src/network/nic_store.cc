#include "network/nic_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/id.h"
#include "base/unique_fd.h"
#include "model/check.h"
#include "model/mac.h"
#include "model/network_kinds.h"
#include "network/names.h"
#include "runtime/files.h"

namespace gantry::network {
namespace {

using Json = nlohmann::json;

constexpr mode_t kReadableByAll = 0644;

std::string key_of(const std::string& vm_id, std::uint32_t index) { return vm_id + "." + std::to_string(index); }

// As the file is called that has its record.
std::optional<std::string> tap_of(const std::string& key) {
  const std::size_t dot = key.find('.');
  const std::string vm_id = key.substr(0, dot);
  if (!is_id(vm_id, "vm")) return std::nullopt;
  for (std::uint32_t index = 0; index < kNicsMax; ++index) {
    if (key == key_of(vm_id, index)) return tap_name(vm_id, index);
  }
  return std::nullopt;
}

std::string text_of(const Json& json, const char* name) { return json.value(name, std::string()); }

bool decode_forwards(const Json& json, NicPlan& nic) {
  for (const auto& one : json.value("forwards", Json::array())) {
    Forward forward;
    const auto address = model::parse_ipv4(text_of(one, "host_address"));
    const auto host_port = one.value("host_port", std::uint64_t{0});
    const auto guest_port = one.value("guest_port", std::uint64_t{0});
    if (!address || host_port == 0 || host_port > 65535 || guest_port == 0 || guest_port > 65535) return false;
    forward.udp = one.value("udp", false);
    forward.host_address = *address;
    forward.host_port = static_cast<std::uint16_t>(host_port);
    forward.guest_port = static_cast<std::uint16_t>(guest_port);
    nic.forwards.push_back(forward);
  }
  return true;
}

constexpr std::array<std::pair<v1::NetworkSpec::Kind, const char*>, 5> kKindWords = {
    {{v1::NetworkSpec::NAT, "nat"},
     {v1::NetworkSpec::BRIDGE, "bridge"},
     {v1::NetworkSpec::VLAN, "vlan"},
     {v1::NetworkSpec::OVERLAY, "overlay"},
     {v1::NetworkSpec::USER, "user"}}};

std::string word_of(v1::NetworkSpec::Kind kind) {
  for (const auto& [known, word] : kKindWords) {
    if (known == kind) return word;
  }
  return "user";
}

v1::NetworkSpec::Kind kind_of(const std::string& word) {
  for (const auto& [kind, known] : kKindWords) {
    if (word == known) return kind;
  }
  return v1::NetworkSpec::USER;
}

Json encode_filter(const NicPlan& nic) {
  if (!nic.filter) return nullptr;
  Json rules = Json::array();
  for (const auto& rule : *nic.filter) {
    rules.push_back({{"ingress", rule.ingress},
                     {"protocol", static_cast<int>(rule.protocol)},
                     {"port", rule.port},
                     {"port_last", rule.port_last},
                     {"peers", rule.peers}});
  }
  return rules;
}

bool decode_rule(const Json& json, FilterRule& rule) {
  rule.ingress = json.value("ingress", true);
  const auto protocol = json.value("protocol", std::uint64_t{99});
  const auto port = json.value("port", std::uint64_t{0});
  const auto port_last = json.value("port_last", std::uint64_t{0});
  if (protocol > 3 || port > 65535 || port_last > 65535) return false;
  rule.protocol = static_cast<v1::SecurityRule::Protocol>(protocol);
  rule.port = static_cast<std::uint16_t>(port);
  rule.port_last = static_cast<std::uint16_t>(port_last);
  for (const auto& one : json.value("peers", Json::array())) {
    const auto peer = one.get<std::string>();
    if (!model::parse_ipv4(peer) && !model::parse_ipv4_subnet(peer)) return false;
    rule.peers.insert(peer);
  }
  return true;
}

// A record of before there were groups has none.
bool decode_filter(const Json& json, NicPlan& nic) {
  const auto found = json.find("filter");
  if (found == json.end() || found->is_null()) return true;
  nic.filter.emplace();
  for (const auto& one : *found) {
    if (!decode_rule(one, nic.filter->emplace_back())) return false;
  }
  return nic.kind != v1::NetworkSpec::USER;
}

bool decode_place(const Json& json, NicPlan& nic) {
  nic.kind = kind_of(text_of(json, "kind"));
  if (nic.kind == v1::NetworkSpec::USER) return true;
  nic.tap = tap_name(nic.vm_id, nic.index);
  nic.bridge = nic.kind == v1::NetworkSpec::BRIDGE ? text_of(json, "bridge") : bridge_name(nic.network_id);
  const auto address = model::parse_ipv4(text_of(json, "ipv4"));
  if (address) nic.ipv4 = *address;
  // A record of before it was kept has none.
  if (const auto gateway = model::parse_ipv4(text_of(json, "gateway"))) nic.gateway = *gateway;
  return is_interface_name(nic.bridge) && (address || model::is_foreign_segment(nic.kind));
}

bool decode(const Json& json, NicPlan& nic) {
  nic.vm_id = text_of(json, "vm_id");
  nic.network_id = text_of(json, "network_id");
  nic.vm_name = text_of(json, "vm_name");
  nic.domain = text_of(json, "domain");
  const auto index = json.value("index", std::uint64_t{kNicsMax});
  const auto mac = model::parse_mac(text_of(json, "mac"));
  if (!is_id(nic.vm_id, "vm") || !is_id(nic.network_id, "net") || index >= kNicsMax || !mac) return false;
  if (!model::is_dns_name(nic.domain) || (!nic.vm_name.empty() && !model::is_dns_label(nic.vm_name))) return false;
  nic.index = static_cast<std::uint32_t>(index);
  nic.mac = *mac;
  nic.uid = json.value("uid", std::uint32_t{0});
  nic.allow_spoofing = json.value("allow_spoofing", false);
  return decode_place(json, nic) && decode_forwards(json, nic) && decode_filter(json, nic);
}

}  // namespace

std::string encode_nic(const NicPlan& nic) {
  Json forwards = Json::array();
  for (const auto& forward : nic.forwards) {
    forwards.push_back({{"udp", forward.udp},
                        {"host_address", model::format_ipv4(forward.host_address)},
                        {"host_port", forward.host_port},
                        {"guest_port", forward.guest_port}});
  }
  const Json json = {{"vm_id", nic.vm_id},
                     {"vm_name", nic.vm_name},
                     {"index", nic.index},
                     {"uid", nic.uid},
                     {"network_id", nic.network_id},
                     {"kind", word_of(nic.kind)},
                     {"bridge", nic.bridge},
                     {"mac", nic.mac},
                     {"ipv4", nic.ipv4 ? model::format_ipv4(*nic.ipv4) : ""},
                     {"gateway", nic.gateway ? model::format_ipv4(*nic.gateway) : ""},
                     {"domain", nic.domain},
                     {"allow_spoofing", nic.allow_spoofing},
                     {"forwards", forwards},
                     {"filter", encode_filter(nic)}};
  return json.dump();
}

Result<NicPlan> decode_nic(std::string_view text) {
  const auto damaged = [] { return fail(ErrorCode::corrupt, "the record of a network card is damaged"); };
  try {
    const Json json = Json::parse(text);
    NicPlan nic;
    if (!json.is_object() || !decode(json, nic)) return damaged();
    return nic;
  } catch (const Json::exception&) {
    return damaged();
  }
}

Result<void> replace_file(const std::string& path, std::string_view content) {
  const std::filesystem::path whole(path);
  const std::string fresh = (whole.parent_path() / ("." + whole.filename().string())).string();
  const UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kReadableByAll));
  if (!file.valid()) return fail(runtime::errno_error("cannot make " + fresh, errno));
  const ssize_t written = ::write(file.get(), content.data(), content.size());
  if (written < 0 || static_cast<std::size_t>(written) != content.size() || ::fchmod(file.get(), kReadableByAll) != 0 ||
      ::rename(fresh.c_str(), path.c_str()) != 0) {
    const Error error = runtime::errno_error("cannot write " + path, errno == 0 ? ENOSPC : errno);
    ::unlink(fresh.c_str());
    return fail(error);
  }
  return {};
}

Result<void> NicStore::load() {
  if (loaded_) return {};
  if (auto made = runtime::make_directories(directory_, 0700); !made) return made;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    const auto text = runtime::read_file(entry.path().string());
    if (!text) return fail(text.error());
    const auto nic = decode_nic(*text);
    if (nic && key_of(nic->vm_id, nic->index) == entry.path().filename().string()) {
      nics_.insert_or_assign(entry.path().filename().string(), *nic);
    } else {
      if (auto tap = tap_of(entry.path().filename().string())) damaged_.push_back(std::move(*tap));
      ::unlink(entry.path().c_str());
    }
  }
  if (error) return fail(runtime::errno_error("cannot read " + directory_, error.value()));
  loaded_ = true;
  return {};
}

Result<void> NicStore::put(const NicPlan& nic) {
  const std::string key = key_of(nic.vm_id, nic.index);
  if (auto written = replace_file(path_of(key), encode_nic(nic)); !written) return written;
  nics_.insert_or_assign(key, nic);
  return {};
}

void NicStore::erase(const NicPlan& nic) {
  const std::string key = key_of(nic.vm_id, nic.index);
  ::unlink(path_of(key).c_str());
  nics_.erase(key);
}

std::vector<NicPlan> NicStore::of_vm(const std::string& vm_id) const {
  std::vector<NicPlan> found;
  for (const auto& [key, nic] : nics_) {
    if (nic.vm_id == vm_id) found.push_back(nic);
  }
  return found;
}

std::vector<NicPlan> NicStore::of_network(const std::string& network_id) const {
  std::vector<NicPlan> found;
  for (const auto& [key, nic] : nics_) {
    if (nic.network_id == network_id) found.push_back(nic);
  }
  return found;
}

const NicPlan* NicStore::find(const std::string& vm_id, std::uint32_t index) const {
  const auto found = nics_.find(key_of(vm_id, index));
  return found == nics_.end() ? nullptr : &found->second;
}

}  // namespace gantry::network
