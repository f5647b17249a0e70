#include "app/cli/security_rules.h"

#include <optional>
#include <vector>

namespace gantry::app {
namespace {

tl::unexpected<Error> unusable(const std::string& whole, const std::string& why) {
  return fail(ErrorCode::invalid_argument, "\"" + whole + "\" is not a rule", why,
              "write it as in:tcp:22:192.0.2.0/24, in:icmp, in:tcp:8000-8099:web or out");
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words(1);
  for (const char letter : text) {
    if (letter == ':') {
      words.emplace_back();
    } else {
      words.back() += letter;
    }
  }
  return words;
}

std::optional<std::uint32_t> port_in(const std::string& word) {
  if (word.empty() || word.size() > 5 || word.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  const auto port = static_cast<std::uint32_t>(std::stoul(word));
  return port >= 1 && port <= 65'535 ? std::optional(port) : std::nullopt;
}

// False when they are none.
bool take_ports(const std::string& word, v1::SecurityRule& rule) {
  if (word.empty() || word == "*") return true;
  const auto dash = word.find('-');
  const auto first = port_in(word.substr(0, dash));
  if (!first) return false;
  rule.set_port(*first);
  if (dash == std::string::npos) return true;
  const auto last = port_in(word.substr(dash + 1));
  if (!last || *last < *first) return false;
  rule.set_port_last(*last);
  return true;
}

std::string protocol_text(v1::SecurityRule::Protocol protocol) {
  switch (protocol) {
    case v1::SecurityRule::TCP: return "tcp";
    case v1::SecurityRule::UDP: return "udp";
    case v1::SecurityRule::ICMP: return "icmp";
    default: return "any";
  }
}

}  // namespace

Result<v1::SecurityRule> parse_rule(const std::string& text) {
  std::vector<std::string> words = split(text);
  if (words.size() > 4) return unusable(text, "it has more than four parts");
  words.resize(4);
  v1::SecurityRule rule;
  if (words[0] != "in" && words[0] != "out") return unusable(text, "it begins with neither in nor out");
  rule.set_direction(words[0] == "in" ? v1::SecurityRule::INGRESS : v1::SecurityRule::EGRESS);
  bool known = words[1].empty();
  for (const auto protocol :
       {v1::SecurityRule::ANY, v1::SecurityRule::TCP, v1::SecurityRule::UDP, v1::SecurityRule::ICMP}) {
    if (words[1] != protocol_text(protocol)) continue;
    rule.set_protocol(protocol);
    known = true;
  }
  if (!known) return unusable(text, "the protocol is none of any, tcp, udp and icmp");
  if (!take_ports(words[2], rule)) return unusable(text, "the port is no number from 1 to 65535, and no range of them");
  const bool has_ports = rule.protocol() == v1::SecurityRule::TCP || rule.protocol() == v1::SecurityRule::UDP;
  if (rule.port() != 0 && !has_ports) return unusable(text, "only tcp and udp have ports");
  if (words[3].find('/') != std::string::npos) {
    rule.set_subnet(words[3]);
  } else {
    rule.set_group(words[3]);
  }
  return rule;
}

std::string rule_text(const v1::SecurityRule& rule) {
  std::string text = rule.direction() == v1::SecurityRule::INGRESS ? "in" : "out";
  text += ":" + protocol_text(rule.protocol());
  std::string ports = rule.port() == 0 ? "" : std::to_string(rule.port());
  if (rule.port_last() != 0) ports += "-" + std::to_string(rule.port_last());
  const std::string peer = rule.subnet().empty() ? rule.group() : rule.subnet();
  if (!ports.empty() || !peer.empty()) text += ":" + ports;
  if (!peer.empty()) text += ":" + peer;
  return text;
}

}  // namespace gantry::app
