#include "control/rule_check.h"

#include <algorithm>
#include <map>

#include "control/placement.h"
#include "model/state.h"
#include "policy/rule.h"

namespace gantry::control {
namespace {

constexpr std::size_t kSentencesMax = 10;

using Rules = std::vector<const v1::Rule*>;
using Vms = std::vector<const v1::Vm*>;

std::string quoted(const v1::Vm& vm) { return "VM \"" + vm.meta().name() + "\""; }

// Required ones, without the one under consideration as it was before.
Rules other_required(const View& view, const v1::Rule& rule) {
  Rules others;
  for (const auto& [id, other] : view.all<v1::Rule>().by_id) {
    if (id != rule.meta().id() && !other.spec().preferred()) others.push_back(&other);
  }
  return others;
}

tl::unexpected<Error> impossible(const v1::Rule& rule, std::string cause) {
  return fail(ErrorCode::conflict, "rule \"" + rule.meta().name() + "\" cannot be kept", std::move(cause),
              "change one of them, or make this one preferred, not required", "rules_contradict");
}

bool allow_some_host(const View& view, const Rules& rules) {
  const auto& hosts = view.all<v1::Host>().by_id;
  return std::any_of(hosts.begin(), hosts.end(), [&](const auto& entry) {
    return std::all_of(rules.begin(), rules.end(), [&](const v1::Rule* rule) {
      return policy::rule_obstacle({.record = rule}, entry.second).empty();
    });
  });
}

std::string names_of(const Rules& rules, const v1::Rule& without) {
  std::string text;
  for (const v1::Rule* rule : rules) {
    if (rule != &without) text += (text.empty() ? "\"" : ", \"") + rule->meta().name() + "\"";
  }
  return text;
}

Vms covered_vms(const View& view, const v1::Rule& rule) {
  Vms covered;
  for (const auto& [id, vm] : view.all<v1::Vm>().by_id) {
    if (policy::covers(rule.spec(), vm)) covered.push_back(&vm);
  }
  return covered;
}

Result<void> check_hosts_left(const View& view, const v1::Rule& rule) {
  Rules about_hosts = other_required(view, rule);
  std::erase_if(about_hosts, [](const v1::Rule* other) { return !policy::is_about_hosts(other->spec()); });
  // Most VMs have the same rules.
  std::map<Rules, bool> known;
  for (const v1::Vm* vm : covered_vms(view, rule)) {
    Rules all = {&rule};
    for (const v1::Rule* other : about_hosts) {
      if (policy::covers(other->spec(), *vm)) all.push_back(other);
    }
    auto found = known.find(all);
    if (found == known.end()) found = known.emplace(all, allow_some_host(view, all)).first;
    if (found->second) continue;
    if (all.size() == 1) return impossible(rule, "no host is left for " + quoted(*vm));
    return impossible(rule, "with " + names_of(all, rule) + " no host is left for " + quoted(*vm));
  }
  return {};
}

Result<void> check_distance(const View& view, const v1::Rule& rule) {
  const Vms covered = covered_vms(view, rule);
  for (const v1::Rule* other : other_required(view, rule)) {
    if (!policy::contradict(rule.spec(), other->spec()) && !policy::contradict(other->spec(), rule.spec())) continue;
    const v1::Vm* first = nullptr;
    for (const v1::Vm* vm : covered) {
      if (!policy::covers(other->spec(), *vm)) continue;
      if (first != nullptr) {
        return impossible(rule, "rule \"" + other->meta().name() + "\" wants the opposite of " + quoted(*first) +
                                    " and " + quoted(*vm));
      }
      first = vm;
    }
  }
  return {};
}

void add_sentence(std::vector<std::string>& sentences, std::size_t& more, std::string sentence) {
  if (sentences.size() < kSentencesMax) {
    sentences.push_back(std::move(sentence));
  } else {
    ++more;
  }
}

struct Guest {
  const v1::Vm* vm = nullptr;
  const v1::Host* host = nullptr;
};

std::string stays(const v1::Vm& vm, const v1::Host& host, const std::string& obstacle) {
  return quoted(vm) + " stays on host " + host.meta().name() + ", though " + obstacle;
}

// `changed`: a host as it is to be; nullptr: all are as they are.
std::vector<Guest> guests_of(const View& view, const v1::Rule& rule, const v1::Host* changed) {
  std::vector<Guest> guests;
  for (const v1::Vm* vm : covered_vms(view, rule)) {
    const auto* host = view.find<v1::Host>(vm->placement().host_id());
    if (host == nullptr || !model::holds_memory(*vm)) continue;
    guests.push_back({vm, changed != nullptr && changed->meta().id() == host->meta().id() ? changed : host});
  }
  return guests;
}

std::vector<std::string> broken(const View& view, const v1::Rule& rule, const v1::Host* changed) {
  std::vector<std::string> sentences;
  std::size_t more = 0;
  policy::PlaceRule before{.record = &rule};
  // Each is held against those before it: of two that break it, one is told.
  for (const auto& [vm, host] : guests_of(view, rule, changed)) {
    const std::string obstacle = policy::rule_obstacle(before, *host);
    if (!obstacle.empty()) add_sentence(sentences, more, stays(*vm, *host, obstacle));
    policy::add_other(before, *vm, *host);
  }
  if (more != 0) sentences.push_back("so do " + std::to_string(more) + " more VMs");
  return sentences;
}

bool goes_by_host_labels(const v1::RuleSpec& spec) {
  return !spec.host_labels().empty() || !spec.failure_domain().empty();
}

}  // namespace

Result<void> check_possible(const View& view, const v1::Rule& rule) {
  if (rule.spec().preferred()) return {};
  return policy::is_about_hosts(rule.spec()) ? check_hosts_left(view, rule) : check_distance(view, rule);
}

std::vector<std::string> broken_now(const View& view, const v1::Rule& rule) { return broken(view, rule, nullptr); }

std::vector<std::string> broken_by_labels(const View& view, const v1::Vm& labelled) {
  const auto* before = view.find<v1::Vm>(labelled.meta().id());
  const auto* host = view.find<v1::Host>(labelled.placement().host_id());
  std::vector<std::string> sentences;
  if (before == nullptr || host == nullptr || !model::holds_memory(labelled)) return sentences;
  for (const policy::PlaceRule& rule : place_rules(view, labelled, true)) {
    if (policy::covers(rule.record->spec(), *before)) continue;
    const std::string obstacle = policy::rule_obstacle(rule, *host);
    if (!obstacle.empty()) sentences.push_back(stays(labelled, *host, obstacle));
  }
  return sentences;
}

std::vector<std::string> broken_by_labels(const View& view, const v1::Host& labelled) {
  std::vector<std::string> sentences;
  for (const auto& [name, id] : view.all<v1::Rule>().id_by_name) {
    const auto* rule = view.find<v1::Rule>(id);
    if (rule == nullptr || !goes_by_host_labels(rule->spec())) continue;
    const auto before = broken_now(view, *rule);
    for (std::string& sentence : broken(view, *rule, &labelled)) {
      if (std::find(before.begin(), before.end(), sentence) == before.end()) sentences.push_back(std::move(sentence));
    }
  }
  return sentences;
}

}  // namespace gantry::control
