// What a placement rule says of one VM and one host. Pure.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "gantry/v1/host.pb.h"
#include "gantry/v1/rule.pb.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::policy {

using Labels = google::protobuf::Map<std::string, std::string>;

// Whether every one of `wanted` is among `has`. `Wanted` is Labels or a std::map.
template <class Wanted>
bool has_labels(const Labels& has, const Wanted& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& label) {
    const auto found = has.find(label.first);
    return found != has.end() && found->second == label.second;
  });
}

// Whether the rule is about that VM, or names that host. Lists of ids are kept in order.
bool covers(const v1::RuleSpec& rule, const v1::Vm& vm);
bool names(const v1::RuleSpec& rule, const v1::Host& host);

// ON_HOSTS and NOT_ON_HOSTS; the others are about where the VMs are to each other.
bool is_about_hosts(const v1::RuleSpec& rule);

// What hosts that count as one have in common; nothing when the host has no label of that name.
std::optional<std::string> domain_of(const v1::RuleSpec& rule, const v1::Host& host);

// A rule that covers a VM, with where the other VMs are that it covers.
struct PlaceRule {
  // Must outlive it.
  const v1::Rule* record = nullptr;
  // The name of one of them in each domain. Those on hosts without the label are nowhere.
  std::map<std::string, std::string> others = {};
};

void add_other(PlaceRule& rule, const v1::Vm& other, const v1::Host& host);

// Why the VM would break the rule on that host; empty: it would not.
std::string rule_obstacle(const PlaceRule& rule, const v1::Host& host);

// Whether two VMs that both required rules cover can be nowhere: `together` holds them in what `apart` parts.
bool contradict(const v1::RuleSpec& together, const v1::RuleSpec& apart);

}  // namespace gantry::policy
