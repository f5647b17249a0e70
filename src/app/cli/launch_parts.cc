#include "app/cli/launch_parts.h"

#include <algorithm>
#include <map>
#include <optional>

#include "app/cli/output.h"

namespace gantry::app {
namespace {

struct Words {
  // The word without "=" at the beginning; empty: there is none.
  std::string first;
  // "read-only" has no value.
  std::map<std::string, std::string> options;
};

tl::unexpected<Error> unusable(const std::string& whole, std::string cause, std::string next_step) {
  return fail(ErrorCode::invalid_argument, "\"" + whole + "\" cannot be used", std::move(cause), std::move(next_step));
}

Result<Words> split(const std::string& whole) {
  Words words;
  std::size_t begin = 0;
  for (bool is_first = true; begin <= whole.size(); is_first = false) {
    const std::size_t comma = std::min(whole.find(',', begin), whole.size());
    const std::string word = whole.substr(begin, comma - begin);
    begin = comma + 1;
    const std::size_t equals = word.find('=');
    if (is_first && equals == std::string::npos) {
      words.first = word;
      continue;
    }
    const std::string name = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (!words.options.emplace(name, value).second) return unusable(whole, name + " is given twice", "leave one out");
  }
  return words;
}

std::optional<std::string> take(Words& words, const std::string& name) {
  const auto found = words.options.find(name);
  if (found == words.options.end()) return std::nullopt;
  std::string value = std::move(found->second);
  words.options.erase(found);
  return value;
}

Result<void> all_taken(const std::string& whole, const Words& words, const std::string& known) {
  if (words.options.empty()) return {};
  return unusable(whole, "\"" + words.options.begin()->first + "\" is not known here", "use " + known);
}

Result<void> fill_volume(const std::string& whole, bool size_only, Words& words, v1::VmDisk& disk) {
  const auto format = take(words, "format");
  const auto pool = take(words, "pool");
  const auto bytes = parse_bytes(words.first);
  const bool named = !bytes && !words.first.empty() && !size_only;
  if (named) {
    disk.set_volume(words.first);
    if (!format && !pool) return {};
    return unusable(whole, "a volume that exists has its format and pool", "leave format and pool out");
  }
  if (!bytes && !(size_only && words.first.empty()))
    return unusable(whole, "it has no size", "write it as 10G,bus=sata");
  v1::NewVolume& create = *disk.mutable_create();
  if (bytes) create.set_capacity_bytes(*bytes);
  create.set_format(format.value_or(""));
  create.set_pool(pool.value_or(""));
  if (format && *format != "qcow2" && *format != "raw") {
    return unusable(whole, "format is neither qcow2 nor raw", "give one of them");
  }
  return {};
}

}  // namespace

Result<v1::VmDisk> parse_disk(const std::string& whole, bool size_only) {
  auto words = split(whole);
  if (!words) return fail(words.error());
  v1::VmDisk disk;
  if (const auto bus = take(*words, "bus")) {
    if (*bus != "virtio" && *bus != "sata")
      return unusable(whole, "bus is neither virtio nor sata", "give one of them");
    disk.set_bus(*bus == "sata" ? v1::VmDisk::SATA : v1::VmDisk::VIRTIO);
  }
  if (const auto read_only = take(*words, "read-only")) {
    if (!read_only->empty()) return unusable(whole, "read-only takes no value", "write just \"read-only\"");
    disk.set_read_only(true);
  }
  if (auto filled = fill_volume(whole, size_only, *words, disk); !filled) return fail(filled.error());
  if (auto done = all_taken(whole, *words, "bus, format, pool and read-only"); !done) return fail(done.error());
  return disk;
}

Result<v1::VmNic> parse_nic(const std::string& whole) {
  auto words = split(whole);
  if (!words) return fail(words.error());
  v1::VmNic nic;
  nic.set_network(words->first);
  if (const auto model = take(*words, "model")) {
    if (*model != "virtio" && *model != "e1000e") {
      return unusable(whole, "model is neither virtio nor e1000e", "give one of them");
    }
    nic.set_model(*model == "e1000e" ? v1::VmNic::E1000E : v1::VmNic::VIRTIO);
  }
  nic.set_mac(take(*words, "mac").value_or(""));
  nic.set_ipv4(take(*words, "ip").value_or(""));
  if (auto done = all_taken(whole, *words, "model, mac and ip"); !done) return fail(done.error());
  return nic;
}

Result<v1::PortForward> parse_forward(const std::string& whole) {
  std::string text = whole;
  v1::PortForward forward;
  if (const auto slash = text.find('/'); slash != std::string::npos) {
    const std::string protocol = text.substr(slash + 1);
    text.resize(slash);
    if (protocol == "udp") forward.set_protocol(v1::PortForward::UDP);
    if (protocol != "udp" && protocol != "tcp") text.clear();
  }
  const auto last = text.rfind(':');
  const auto port = [](const std::string& digits) -> std::uint32_t {
    if (digits.empty() || digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string::npos) return 0;
    return static_cast<std::uint32_t>(std::stoul(digits));
  };
  if (last != std::string::npos) {
    forward.set_guest_port(port(text.substr(last + 1)));
    const std::string rest = text.substr(0, last);
    const auto first = rest.rfind(':');
    if (first != std::string::npos) forward.set_host_address(rest.substr(0, first));
    forward.set_host_port(port(first == std::string::npos ? rest : rest.substr(first + 1)));
  }
  if (forward.guest_port() == 0 || forward.guest_port() > 65535 || forward.host_port() > 65535) {
    return fail(ErrorCode::invalid_argument, "\"" + whole + "\" is not a port forward", "",
                "write it as HOST_PORT:GUEST_PORT, such as 8080:80");
  }
  return forward;
}

void add_labels(const std::vector<std::string>& texts, google::protobuf::Map<std::string, std::string>& labels) {
  for (const auto& text : texts) {
    const auto equals = text.find('=');
    labels[text.substr(0, equals)] = equals == std::string::npos ? "" : text.substr(equals + 1);
  }
}

}  // namespace gantry::app
