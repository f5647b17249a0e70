#include "qemu/guest_agent_answers.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/printable_text.h"

namespace gantry::qemu {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kNameBytesMax = 255;  // of a host, by DNS
constexpr std::size_t kTextBytesMax = 200;
constexpr std::size_t kInterfaceNameBytesMax = 64;
constexpr int kInterfacesMax = 32;
constexpr int kAddressesMax = 32;

// The value of "return"; discarded when there is none.
Json answer(std::string_view line) {
  Json reply = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (!reply.is_object()) return Json(Json::value_t::discarded);
  const auto value = reply.find("return");
  return value == reply.end() ? Json(Json::value_t::discarded) : std::move(*value);
}

// The member of that name when it is text; otherwise empty.
std::string text_of(const Json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string();
}

// In lower case; empty when it is no MAC of a NIC.
std::string mac_of(const Json& interface) {
  std::string mac = text_of(interface, "hardware-address");
  if (mac.size() != 17 || mac == "00:00:00:00:00:00") return {};
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const auto letter = static_cast<unsigned char>(mac[i]);
    if (i % 3 == 2 ? letter != ':' : std::isxdigit(letter) == 0) return {};
    mac[i] = static_cast<char>(std::tolower(letter));
  }
  return mac;
}

struct Address {
  std::string text;  // with prefix length
  bool link_local = false;
};

std::optional<Address> address_of(const Json& entry) {
  std::string text = text_of(entry, "ip-address");
  // Some agents name the interface too: "fe80::1%eth0".
  text = text.substr(0, text.find('%'));
  const auto prefix = entry.is_object() ? entry.find("prefix") : entry.end();
  if (prefix == entry.end() || !prefix->is_number_integer()) return std::nullopt;
  const auto prefix_length = prefix->get<std::int64_t>();
  std::array<unsigned char, 16> bytes{};
  std::array<char, INET6_ADDRSTRLEN> plain{};
  const bool is_ipv4 = ::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1;
  if (!is_ipv4 && ::inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return std::nullopt;
  if (prefix_length < 0 || prefix_length > (is_ipv4 ? 32 : 128)) return std::nullopt;
  const bool loopback =
      is_ipv4 ? bytes[0] == 127
              : bytes[15] == 1 && std::all_of(bytes.begin(), bytes.end() - 1, [](auto b) { return b == 0; });
  if (loopback) return std::nullopt;
  ::inet_ntop(is_ipv4 ? AF_INET : AF_INET6, bytes.data(), plain.data(), plain.size());
  return Address{
      .text = std::string(plain.data()) + "/" + std::to_string(prefix_length),
      .link_local = is_ipv4 ? bytes[0] == 169 && bytes[1] == 254 : bytes[0] == 0xfe && (bytes[1] & 0xc0U) == 0x80};
}

std::vector<Address> addresses_of(const Json& interface) {
  std::vector<Address> addresses;
  const auto entries = interface.find("ip-addresses");
  if (entries == interface.end() || !entries->is_array()) return addresses;
  for (const Json& entry : *entries) {
    if (addresses.size() >= kAddressesMax) break;
    if (auto address = address_of(entry)) addresses.push_back(std::move(*address));
  }
  std::stable_partition(addresses.begin(), addresses.end(), [](const Address& address) { return !address.link_local; });
  return addresses;
}

}  // namespace

bool is_sync_answer(std::string_view line, std::uint32_t sync_id) {
  const Json id = answer(line);
  return id.is_number_integer() && id == sync_id;
}

void read_host_name(std::string_view line, v1::GuestFacts& facts) {
  facts.set_host_name(model::printable_text(text_of(answer(line), "host-name"), kNameBytesMax));
}

void read_operating_system(std::string_view line, v1::GuestFacts& facts) {
  const Json system = answer(line);
  std::string name = text_of(system, "pretty-name");
  if (name.empty()) name = text_of(system, "name");
  facts.set_operating_system(model::printable_text(name, kTextBytesMax));
  facts.set_kernel(model::printable_text(text_of(system, "kernel-release"), kTextBytesMax));
}

void read_interfaces(std::string_view line, v1::GuestFacts& facts) {
  facts.clear_interfaces();
  const Json interfaces = answer(line);
  if (!interfaces.is_array()) return;
  for (const Json& interface : interfaces) {
    if (facts.interfaces_size() >= kInterfacesMax) break;
    if (!interface.is_object()) continue;
    const std::string mac = mac_of(interface);
    const std::vector<Address> addresses = addresses_of(interface);
    if (mac.empty() && addresses.empty()) continue;
    v1::GuestInterface& fact = *facts.add_interfaces();
    fact.set_name(model::printable_text(text_of(interface, "name"), kInterfaceNameBytesMax));
    fact.set_mac(mac);
    for (const Address& address : addresses) fact.add_addresses(address.text);
  }
}

}  // namespace gantry::qemu
