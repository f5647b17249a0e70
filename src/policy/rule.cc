#include "policy/rule.h"

namespace gantry::policy {
namespace {

bool is_listed(const google::protobuf::RepeatedPtrField<std::string>& ids, const std::string& id) {
  return std::binary_search(ids.begin(), ids.end(), id);
}

std::string quoted(const v1::Rule& rule) { return "rule \"" + rule.meta().name() + "\""; }

// " (rack=r1)", where hosts count as one by a label.
std::string shown_domain(const v1::RuleSpec& rule, const std::string& domain) {
  return rule.failure_domain().empty() ? "" : " (" + rule.failure_domain() + "=" + domain + ")";
}

std::string distance_obstacle(const PlaceRule& rule, const v1::Host& host) {
  const v1::RuleSpec& spec = rule.record->spec();
  const auto domain = domain_of(spec, host);
  if (!domain) return "it has no label \"" + spec.failure_domain() + "\", which " + quoted(*rule.record) + " goes by";
  const auto there = rule.others.find(*domain);
  if (spec.kind() == v1::RuleSpec::APART) {
    if (there == rule.others.end()) return {};
    return quoted(*rule.record) + " keeps it apart from VM \"" + there->second + "\"" + shown_domain(spec, *domain);
  }
  if (rule.others.empty() || there != rule.others.end()) return {};
  const auto& [other_domain, other] = *rule.others.begin();
  return quoted(*rule.record) + " keeps it together with VM \"" + other + "\"" + shown_domain(spec, other_domain);
}

}  // namespace

bool covers(const v1::RuleSpec& rule, const v1::Vm& vm) {
  return is_listed(rule.vms(), vm.meta().id()) ||
         (!rule.vm_labels().empty() && has_labels(vm.meta().labels(), rule.vm_labels()));
}

bool names(const v1::RuleSpec& rule, const v1::Host& host) {
  return is_listed(rule.hosts(), host.meta().id()) ||
         (!rule.host_labels().empty() && has_labels(host.meta().labels(), rule.host_labels()));
}

bool is_about_hosts(const v1::RuleSpec& rule) {
  return rule.kind() == v1::RuleSpec::ON_HOSTS || rule.kind() == v1::RuleSpec::NOT_ON_HOSTS;
}

std::optional<std::string> domain_of(const v1::RuleSpec& rule, const v1::Host& host) {
  if (rule.failure_domain().empty()) return host.meta().id();
  const auto found = host.meta().labels().find(rule.failure_domain());
  if (found == host.meta().labels().end()) return std::nullopt;
  return found->second;
}

void add_other(PlaceRule& rule, const v1::Vm& other, const v1::Host& host) {
  const auto domain = domain_of(rule.record->spec(), host);
  if (!domain) return;
  // The first by name, whatever the order they come in.
  const auto [there, is_new] = rule.others.emplace(*domain, other.meta().name());
  if (!is_new) there->second = std::min(there->second, other.meta().name());
}

std::string rule_obstacle(const PlaceRule& rule, const v1::Host& host) {
  const v1::RuleSpec& spec = rule.record->spec();
  switch (spec.kind()) {
    case v1::RuleSpec::ON_HOSTS: return names(spec, host) ? "" : quoted(*rule.record) + " keeps it on other hosts";
    case v1::RuleSpec::NOT_ON_HOSTS: return names(spec, host) ? quoted(*rule.record) + " keeps it off this host" : "";
    default: return distance_obstacle(rule, host);
  }
}

bool contradict(const v1::RuleSpec& together, const v1::RuleSpec& apart) {
  if (together.kind() != v1::RuleSpec::TOGETHER || apart.kind() != v1::RuleSpec::APART) return false;
  // On one host is in one rack; in one rack is not on one host. Of two labels nobody knows which is the wider.
  return together.failure_domain().empty() || together.failure_domain() == apart.failure_domain();
}

}  // namespace gantry::policy
