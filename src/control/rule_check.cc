#include "control/rule_check.h"

#include <algorithm>
#include <map>

#include "model/state.h"
#include "policy/rule.h"

namespace gantry::control {
namespace {

constexpr std::size_t kSentencesMax = 10;

using Rules = std::vector<const v1::Rule*>;

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

Result<void> check_hosts_left(const View& view, const v1::Rule& rule) {
  Rules about_hosts = other_required(view, rule);
  std::erase_if(about_hosts, [](const v1::Rule* other) { return !policy::is_about_hosts(other->spec()); });
  // Most VMs have the same rules.
  std::map<Rules, bool> known;
  for (const auto& [id, vm] : view.all<v1::Vm>().by_id) {
    if (!policy::covers(rule.spec(), vm)) continue;
    Rules all = {&rule};
    for (const v1::Rule* other : about_hosts) {
      if (policy::covers(other->spec(), vm)) all.push_back(other);
    }
    auto found = known.find(all);
    if (found == known.end()) found = known.emplace(all, allow_some_host(view, all)).first;
    if (found->second) continue;
    if (all.size() == 1) return impossible(rule, "no host is left for " + quoted(vm));
    return impossible(rule, "with " + names_of(all, rule) + " no host is left for " + quoted(vm));
  }
  return {};
}

Result<void> check_distance(const View& view, const v1::Rule& rule) {
  for (const v1::Rule* other : other_required(view, rule)) {
    if (!policy::contradict(rule.spec(), other->spec()) && !policy::contradict(other->spec(), rule.spec())) continue;
    const v1::Vm* first = nullptr;
    for (const auto& [id, vm] : view.all<v1::Vm>().by_id) {
      if (!policy::covers(rule.spec(), vm) || !policy::covers(other->spec(), vm)) continue;
      if (first != nullptr) {
        return impossible(rule, "rule \"" + other->meta().name() + "\" wants the opposite of " + quoted(*first) +
                                    " and " + quoted(vm));
      }
      first = &vm;
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

std::vector<Guest> guests_of(const View& view, const v1::Rule& rule) {
  std::vector<Guest> guests;
  for (const auto& [id, vm] : view.all<v1::Vm>().by_id) {
    const auto* host = view.find<v1::Host>(vm.placement().host_id());
    if (host == nullptr || !model::holds_memory(vm) || !policy::covers(rule.spec(), vm)) continue;
    guests.push_back({&vm, host});
  }
  return guests;
}

}  // namespace

Result<void> check_possible(const View& view, const v1::Rule& rule) {
  if (rule.spec().preferred()) return {};
  return policy::is_about_hosts(rule.spec()) ? check_hosts_left(view, rule) : check_distance(view, rule);
}

std::vector<std::string> broken_now(const View& view, const v1::Rule& rule) {
  std::vector<std::string> sentences;
  std::size_t more = 0;
  policy::PlaceRule before{.record = &rule};
  // Each is held against those before it: of two that break it, one is told.
  for (const auto& [vm, host] : guests_of(view, rule)) {
    const std::string obstacle = policy::rule_obstacle(before, *host);
    if (!obstacle.empty()) {
      add_sentence(sentences, more, quoted(*vm) + " stays on host " + host->meta().name() + ", though " + obstacle);
    }
    policy::add_other(before, *vm, *host);
  }
  if (more != 0) sentences.push_back("so do " + std::to_string(more) + " more VMs");
  return sentences;
}

}  // namespace gantry::control
