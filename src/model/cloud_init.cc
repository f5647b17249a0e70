#include "model/cloud_init.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "model/network_kinds.h"
#include "model/state.h"
#include "model/utf8.h"

namespace gantry::model {
namespace {

constexpr std::uint32_t kReplacement = 0xfffd;

// The code point at the front of `text`, taken off; kReplacement and one byte where it is not UTF-8.
std::uint32_t take_code_point(std::string_view& text) {
  const Utf8Character character = first_character(text);
  text.remove_prefix(character.bytes == 0 ? 1 : character.bytes);
  return character.bytes == 0 ? kReplacement : character.code;
}

std::string hexadecimal(std::uint32_t value, int digits) {
  std::string text;
  for (int i = digits - 1; i >= 0; --i) text += "0123456789abcdef"[value >> (4U * static_cast<unsigned>(i)) & 0xfU];
  return text;
}

std::string base64_lines(std::string_view bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  constexpr std::size_t kBytesPerLine = 57;
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8U | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) text += k <= count ? kLetters[group >> (18 - 6 * k) & 0x3fU] : '=';
    if ((i + 3) % kBytesPerLine == 0) text += '\n';
  }
  if (!text.empty() && text.back() != '\n') text += '\n';
  return text;
}

std::string host_name_of(const v1::Vm& vm) {
  const std::string& given = vm.spec().cloud_init().host_name();
  return given.empty() ? vm.meta().name() : given;
}

std::string domain_of(const v1::Vm& vm, const std::vector<v1::Network>& networks) {
  if (vm.spec().nics().empty()) return {};
  const std::string& id = vm.spec().nics(0).network();
  const auto network =
      std::find_if(networks.begin(), networks.end(), [&](const auto& n) { return n.meta().id() == id; });
  if (network == networks.end() || !has_gateway(network->spec().kind())) return {};
  return network->spec().domain().empty() ? std::string(kDefaultDomain) : network->spec().domain();
}

void add_keys(std::string& yaml, const v1::CloudInit& asked, std::string_view indent) {
  if (asked.ssh_authorized_keys().empty()) return;
  yaml += std::string(indent) + "ssh_authorized_keys:\n";
  for (const auto& key : asked.ssh_authorized_keys()) yaml += std::string(indent) + "  - " + yaml_quoted(key) + "\n";
}

// A guest that cannot resolve its own name makes sudo complain: hence manage_etc_hosts.
std::string cloud_config(const v1::Vm& vm, const std::vector<v1::Network>& networks) {
  const v1::CloudInit& asked = vm.spec().cloud_init();
  const std::string name = host_name_of(vm);
  const std::string domain = domain_of(vm, networks);
  std::string yaml = "#cloud-config\nmanage_etc_hosts: localhost\n";
  if (!domain.empty() && name.find('.') == std::string::npos)
    yaml += "fqdn: " + yaml_quoted(name + "." + domain) + "\n";
  if (asked.user().empty()) {
    add_keys(yaml, asked, "");
    return yaml;
  }
  if (asked.user() == "root") yaml += "disable_root: false\n";
  yaml += "users:\n  - name: " + yaml_quoted(asked.user()) + "\n    shell: /bin/bash\n    lock_passwd: true\n";
  if (asked.user() != "root") yaml += "    sudo: \"ALL=(ALL) NOPASSWD:ALL\"\n";
  add_keys(yaml, asked, "    ");
  return yaml;
}

bool begins_without_case(std::string_view text, std::string_view prefix) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return text.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), text.begin(), [&](char a, char b) { return lower(a) == lower(b); });
}

// The user's document as a part: MIME goes in with its own headers, anything else is left for cloud-init to recognize
// by its first line.
std::string part_of(std::string_view user_data) {
  if (begins_without_case(user_data, "content-type:") || begins_without_case(user_data, "mime-version:")) {
    return std::string(user_data);
  }
  return "Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\n" + base64_lines(user_data);
}

// Ours comes last and yields to the user's: its scalars fill in what is not set, its lists (users, keys) are added.
std::string combine(std::string ours, std::string_view user_data) {
  ours += "merge_how: \"dict(no_replace,recurse_list)+list(append)\"\n";
  std::string boundary = "gantry-part";
  for (int i = 0; user_data.find(boundary) != std::string_view::npos; ++i)
    boundary = "gantry-part-" + std::to_string(i);
  return "Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\nMIME-Version: 1.0\n\n--" + boundary + "\n" +
         part_of(user_data) + "\n--" + boundary +
         "\nContent-Type: text/cloud-config; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\n" +
         base64_lines(ours) + "\n--" + boundary + "--\n";
}

std::string user_data_of(const v1::Vm& vm, const std::vector<v1::Network>& networks) {
  const v1::CloudInit& asked = vm.spec().cloud_init();
  const bool only_theirs = asked.user().empty() && asked.ssh_authorized_keys().empty() && !asked.user_data().empty();
  if (only_theirs) return asked.user_data();
  std::string ours = cloud_config(vm, networks);
  return asked.user_data().empty() ? ours : combine(std::move(ours), asked.user_data());
}

std::string network_config(const v1::Vm& vm) {
  if (vm.spec().nics().empty()) return "version: 1\nconfig: []\n";
  std::string yaml = "version: 1\nconfig:\n";
  for (int i = 0; i < vm.spec().nics_size(); ++i) {
    yaml += "  - type: physical\n    name: eth" + std::to_string(i) + "\n";
    if (!vm.spec().nics(i).mac().empty()) yaml += "    mac_address: " + yaml_quoted(vm.spec().nics(i).mac()) + "\n";
    yaml += "    subnets:\n      - type: dhcp\n";
  }
  return yaml;
}

}  // namespace

std::string yaml_quoted(std::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    const std::uint32_t point = take_code_point(text);
    if (point == '"' || point == '\\') {
      quoted += '\\';
      quoted += static_cast<char>(point);
    } else if (point >= 0x20 && point < 0x7f) {
      quoted += static_cast<char>(point);
    } else if (point < 0x100) {
      quoted += "\\x" + hexadecimal(point, 2);
    } else if (point < 0x10000) {
      quoted += "\\u" + hexadecimal(point, 4);
    } else {
      quoted += "\\U" + hexadecimal(point, 8);
    }
  }
  return quoted + "\"";
}

std::map<std::string, std::string> cloud_init_files(const v1::Vm& vm, const std::vector<v1::Network>& networks) {
  const v1::CloudInit& asked = vm.spec().cloud_init();
  if (asked.host_name().empty() && asked.user().empty() && asked.ssh_authorized_keys().empty() &&
      asked.user_data().empty()) {
    return {};
  }
  return {{"meta-data",
           "instance-id: " + yaml_quoted(vm.meta().id()) + "\nlocal-hostname: " + yaml_quoted(host_name_of(vm)) + "\n"},
          {"user-data", user_data_of(vm, networks)},
          {"network-config", network_config(vm)}};
}

}  // namespace gantry::model
