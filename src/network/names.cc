#include "network/names.h"

#include <algorithm>

namespace gantry::network {
namespace {

constexpr std::size_t kInterfaceNameMax = 15;
constexpr std::string_view kIndexLetters = "0123456789abcdefghijklmnopqrstuv";

std::string_view letters_of(std::string_view id) { return id.substr(id.find('-') + 1); }

}  // namespace

std::uint32_t name_hash(std::string_view name) {
  // FNV-1a, as model/uid.h has it.
  std::uint32_t hash = 0x811c9dc5U;
  for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x01000193U;
  return hash;
}

std::string bridge_mac(std::string_view network_id) {
  const std::uint32_t hash = name_hash(network_id);
  // Locally administered, and none that model::make_mac gives to guests.
  std::string mac = "02:67";
  for (unsigned shift = 32; shift > 0; shift -= 8) {
    const unsigned byte = hash >> (shift - 8) & 0xffU;
    mac += {':', "0123456789abcdef"[byte >> 4U], "0123456789abcdef"[byte & 0xfU]};
  }
  return mac;
}

std::string overlay_device(std::string_view network_id) { return "gx-" + std::string(letters_of(network_id)); }
std::string vlan_device(std::string_view network_id) { return "gv-" + std::string(letters_of(network_id)); }

std::string tap_name(std::string_view vm_id, std::uint32_t index) {
  return "gt" + std::string(letters_of(vm_id)) + kIndexLetters[index % kNicsMax];
}

bool is_tap_of(std::string_view name, std::string_view vm_id) {
  const std::string begin = "gt" + std::string(letters_of(vm_id));
  return name.size() == begin.size() + 1 && name.substr(0, begin.size()) == begin;
}

bool is_interface_name(std::string_view name) {
  if (name.empty() || name.size() > kInterfaceNameMax || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

}  // namespace gantry::network
