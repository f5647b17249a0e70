#include "sim/wishes.h"

#include <algorithm>

#include "model/keys.h"

namespace gantry::sim {

namespace {

// Who takes leave of a host takes leave of its pools and its networks.
bool is_named(const Births& births, const Wish& wish, const Birth& thing) {
  if (wish.deletes_kind == thing.kind) return wish.deletes_name == thing.name;
  if (wish.deletes_kind != model::kHost || (thing.kind != model::kPool && thing.kind != model::kNetwork)) return false;
  const auto host = births.find(thing.host_id);
  return host != births.end() && host->second.name == wish.deletes_name;
}

}  // namespace

void Wishes::ask(std::uint64_t number, Wish wish, Milliseconds now_ms) {
  asked_[number] = {.wish = std::move(wish), .asked_ms = now_ms};
}

void Wishes::answer(std::uint64_t number, bool refused, Milliseconds now_ms) {
  const auto found = asked_.find(number);
  if (found == asked_.end() || found->second.answered_ms) return;
  found->second.answered_ms = now_ms;
  found->second.refused = refused;
}

Milliseconds Wishes::shortest_stop_ms(const std::string& vm_name, Milliseconds boot_committed_ms) const {
  Milliseconds shortest_ms = kStopTimeoutMs;
  for (const auto& [number, asked] : asked_) {
    const bool counts = asked.wish.vm_name == vm_name && !asked.refused &&
                        (!asked.answered_ms || *asked.answered_ms >= boot_committed_ms);
    if (counts) shortest_ms = std::min(shortest_ms, asked.wish.timeout_ms);
  }
  return shortest_ms;
}

bool Wishes::asked_to_move(const std::string& vm_name) const {
  return std::ranges::any_of(
      asked_, [&vm_name](const auto& entry) { return entry.second.wish.moves_vm == vm_name && !entry.second.refused; });
}

bool Wishes::asked_to_empty(const std::string& host_id, const std::string& host_name) const {
  return std::ranges::any_of(asked_, [&](const auto& entry) {
    const std::string& host = entry.second.wish.empties_host;
    return !entry.second.refused && (host == host_id || host == host_name);
  });
}

bool Wishes::names(const Births& births, const Asked& asked, const Birth& thing) {
  if (!is_named(births, asked.wish, thing)) return false;
  const bool in_time = !thing.gone_ms || asked.asked_ms <= *thing.gone_ms;
  return in_time && (!asked.answered_ms || *asked.answered_ms >= thing.at_ms);
}

bool Wishes::asked_to_delete(const Births& births, const std::string& id) const {
  const auto found = births.find(id);
  if (found == births.end()) return false;
  const Birth& thing = found->second;
  const Birth* owner = nullptr;
  for (const auto& [other_id, other] : births) {
    const bool owns = other.kind == model::kVm && thing.kind == model::kVolume && other.revision == thing.revision;
    if (owns) owner = &other;
  }
  return std::ranges::any_of(asked_, [&](const auto& entry) {
    const Asked& asked = entry.second;
    if (asked.refused) return false;
    const auto task = births.find(asked.wish.cancels_task_id);
    if (task != births.end() && task->second.revision == thing.revision) return true;
    return names(births, asked, thing) ||
           (owner != nullptr && !asked.wish.keeps_volumes && names(births, asked, *owner));
  });
}

}  // namespace gantry::sim
