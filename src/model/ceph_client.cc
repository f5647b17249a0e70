#include "model/ceph_client.h"

#include <algorithm>
#include <charconv>

#include "base/lines.h"
#include "model/ipv4.h"

namespace gantry::model {
namespace {

constexpr std::string_view kMonitors = "mon_host";
constexpr std::string_view kKey = "key";
constexpr std::string_view kSpace = " \t\r\n";
constexpr std::size_t kKeyBytesMax = 256;
// A call that Ceph does not answer fails after that many seconds instead of never.
constexpr char kPatience[] =
    "client_mount_timeout = 20\n"
    "rados_mon_op_timeout = 20\n"
    "rados_osd_op_timeout = 30\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Nothing: it is none.
std::optional<std::vector<unsigned char>> from_base64(std::string_view text) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::size_t letters = std::min(text.find_first_not_of(kLetters), text.size());
  const std::string_view padding = text.substr(letters);
  if (text.size() % 4 != 0 || (!padding.empty() && padding != "=" && padding != "==")) return std::nullopt;
  std::vector<unsigned char> bytes;
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (const char letter : text.substr(0, letters)) {
    held = (held << 6U) | static_cast<std::uint32_t>(kLetters.find(letter));
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<unsigned char>(held >> bits));
  }
  return bytes;
}

// Of "NAME = VALUE" the value; nothing: another line.
std::optional<std::string_view> value_of(std::string_view line, std::string_view name) {
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos || trimmed(line.substr(0, equals)) != name) return std::nullopt;
  return trimmed(line.substr(equals + 1));
}

// Whether it may be one: who connects to it finds out the rest.
bool looks_like_ipv6(std::string_view text) {
  constexpr std::string_view kLetters = "0123456789abcdefABCDEF:.";
  return text.size() <= 45 && std::count(text.begin(), text.end(), ':') >= 2 &&
         text.find_first_not_of(kLetters) == std::string_view::npos;
}

std::optional<std::uint32_t> parse_port(std::string_view text) {
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0 || port > 65535) return std::nullopt;
  return port;
}

std::string to_text(const CephMonitor& monitor) {
  const bool is_v6 = monitor.host.find(':') != std::string::npos;
  const std::string host = is_v6 ? "[" + monitor.host + "]" : monitor.host;
  return monitor.port == 0 ? host : host + ":" + std::to_string(monitor.port);
}

}  // namespace

std::optional<CephMonitor> parse_ceph_monitor(std::string_view text) {
  CephMonitor monitor;
  if (looks_like_ipv6(text)) {
    monitor.host = text;
    return monitor;
  }
  const bool is_v6 = text.starts_with('[');
  const std::size_t end = std::min(text.find(is_v6 ? ']' : ':'), text.size());
  monitor.host = text.substr(is_v6 ? 1 : 0, is_v6 ? end - 1 : end);
  if (is_v6 ? !looks_like_ipv6(monitor.host) : !parse_ipv4(monitor.host)) return std::nullopt;
  std::string_view rest = text.substr(end);
  if (is_v6) {
    if (rest.empty()) return std::nullopt;
    rest.remove_prefix(1);
  }
  if (rest.empty()) return monitor;
  const auto port = rest.starts_with(':') ? parse_port(rest.substr(1)) : std::nullopt;
  if (!port) return std::nullopt;
  monitor.port = *port;
  return monitor;
}

// A structure of Ceph in little endian: the kind (1: AES), when it was made in seconds and nanoseconds, and the secret
// after its length. What is not so, Ceph's programs quote in their messages.
bool is_ceph_key(std::string_view text) {
  if (text.size() > kKeyBytesMax) return false;
  const auto bytes = from_base64(text);
  constexpr std::size_t kHeadBytes = 12;
  if (!bytes || bytes->size() <= kHeadBytes) return false;
  const auto number = [&](std::size_t at) { return (*bytes)[at] + ((*bytes)[at + 1] << 8U); };
  return number(0) == 1 && number(10) + kHeadBytes == bytes->size();
}

std::optional<std::string> find_ceph_key(std::string_view text, std::string_view user) {
  if (is_ceph_key(trimmed(text))) return std::string(trimmed(text));
  const std::string wanted = "[client." + std::string(user) + "]";
  std::optional<std::string> found;
  bool is_here = false;
  for_each_line(text, [&](std::string_view with_blanks) {
    const std::string_view line = trimmed(with_blanks);
    if (line.starts_with('[')) is_here = line == wanted;
    const auto value = value_of(line, kKey);
    if (is_here && !found && value && is_ceph_key(*value)) found = std::string(*value);
  });
  return found;
}

std::string ceph_configuration(const v1::RbdPool& pool, std::string_view key_ring_path) {
  std::string monitors;
  for (const std::string& text : pool.monitors()) {
    const auto monitor = parse_ceph_monitor(text);
    if (monitor) monitors += (monitors.empty() ? "" : ",") + to_text(*monitor);
  }
  return "# Written by gantryd.\n[global]\n" + std::string(kMonitors) + " = " + monitors +
         "\nkeyring = " + std::string(key_ring_path) + "\n" + kPatience;
}

std::string ceph_key_ring(const v1::RbdPool& pool) {
  return "[client." + pool.user() + "]\n" + std::string(kKey) + " = " + pool.key() + "\n";
}

std::vector<CephMonitor> monitors_in(std::string_view configuration) {
  std::vector<CephMonitor> monitors;
  for_each_line(configuration, [&](std::string_view line) {
    const auto value = value_of(line, kMonitors);
    for (std::string_view rest = value.value_or(""); !rest.empty();) {
      const std::size_t end = std::min(rest.find(','), rest.size());
      if (auto monitor = parse_ceph_monitor(trimmed(rest.substr(0, end)))) monitors.push_back(std::move(*monitor));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  });
  return monitors;
}

}  // namespace gantry::model
