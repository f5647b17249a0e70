#include "control/observations.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "control/assignments.h"
#include "control/host_records.h"
#include "control/moves.h"
#include "control/printable.h"
#include "control/segments.h"
#include "control/shared_pools.h"
#include "control/vm_hosts.h"
#include "model/check.h"
#include "model/network_kinds.h"

namespace gantry::control {
namespace {

// Sizes of files and file systems move all the time; so much is worth a write.
bool moved(std::uint64_t before, std::uint64_t after, std::uint64_t step_bytes) {
  const std::uint64_t difference = before > after ? before - after : after - before;
  return difference >= step_bytes || (before == 0) != (after == 0);
}

constexpr std::uint64_t kMiB = 1ULL << 20U;
// Hosts tell all they know each half minute; not each of those is worth a write.
constexpr Milliseconds kSeenEveryMs = 60'000;
// Words, and one sentence about the accelerator.
constexpr std::size_t kFactBytesMax = 1U << 10U;

using control::steady;
void steady(const v1::VolumeStatus& before, v1::VolumeStatus& after) {
  const std::uint64_t step_bytes = std::max<std::uint64_t>(16 * kMiB, before.allocation_bytes() / 20);
  if (!moved(before.allocation_bytes(), after.allocation_bytes(), step_bytes)) {
    after.set_allocation_bytes(before.allocation_bytes());
  }
}
// Of a move that is over the source knew some, the target the rest.
void steady(const v1::VmStatus& before, v1::VmStatus& after) {
  if (after.move().task_id().empty() || before.move().task_id() != after.move().task_id()) return;
  v1::VmMoveStatus known = before.move();
  known.clear_progress();
  known.clear_problem();
  known.MergeFrom(after.move());
  known.set_phase(after.move().phase());
  known.set_fetching(after.move().fetching());
  *after.mutable_move() = std::move(known);
}
void steady(const v1::ImageStatus&, v1::ImageStatus&) {}
void steady(const v1::NetworkStatus&, v1::NetworkStatus&) {}

template <class Status>
void set_host(Status& status, const std::string& host_id) {
  status.set_host_id(host_id);
}
void set_host(v1::PoolStatus&, const std::string&) {}

template <class Items>
void keep_first(Items& items, int count) {
  if (items.size() > count) items.DeleteSubrange(count, items.size() - count);
}

// Whoever says it: what is kept of a host stays small, and what other hosts act upon is what it is to be.
void bound(v1::HostStatus& status) {
  constexpr int kModelsMax = 512;
  constexpr int kNodesMax = 256;
  constexpr int kFewMax = 32;
  auto& models = *status.mutable_cpu_models();
  const auto is_none = [](const std::string& model) { return !model::is_cpu_model(model); };
  models.erase(std::remove_if(models.begin(), models.end(), is_none), models.end());
  keep_first(models, kModelsMax);
  keep_first(*status.mutable_numa_nodes(), kNodesMax);
  keep_first(*status.mutable_problems(), kFewMax);
  keep_first(*status.mutable_recipes(), kFewMax);
  if (!is_address(status.address())) status.clear_address();
}

// Where its QEMU waits for a guest is the target's to say.
void bound(v1::VmStatus& status) {
  if (status.has_move()) status.mutable_move()->clear_address();
  if (status.has_disk_move()) status.mutable_disk_move()->clear_address();
}
template <class Status>
void bound(Status&) {}

// Marks of different hosts cannot be compared: of a record that has moved, what the other said counts for nothing.
template <class Status>
bool is_news(const Status& before, const std::string& host_id, const v1::ObservationMark& mark) {
  return before.host_id() != host_id || is_newer(mark, before.observed());
}
bool is_news(const v1::PoolStatus& before, const std::string&, const v1::ObservationMark& mark) {
  return is_newer(mark, before.observed());
}

const v1::VmStatus* status_in(const v1::Observation& o, const v1::Vm*) { return o.has_vm() ? &o.vm() : nullptr; }
const v1::VolumeStatus* status_in(const v1::Observation& o, const v1::Volume*) {
  return o.has_volume() ? &o.volume() : nullptr;
}
const v1::ImageStatus* status_in(const v1::Observation& o, const v1::Image*) {
  return o.has_image() ? &o.image() : nullptr;
}
const v1::NetworkStatus* status_in(const v1::Observation& o, const v1::Network*) {
  return o.has_network() ? &o.network() : nullptr;
}
const v1::PoolStatus* status_in(const v1::Observation& o, const v1::Pool*) {
  return o.has_pool() ? &o.pool() : nullptr;
}

bool is_shared(const v1::Pool& pool) { return pool.spec().shared(); }
template <class Record>
bool is_shared(const Record&) {
  return false;
}

// What a host says of a VM that is not its own, or was not when it said that.
bool observe_other(Draft& draft, const v1::Vm& vm, const std::string& host_id, const v1::ObservationMark& mark,
                   const v1::Observation& observation) {
  if (moves_to(vm, host_id) || find_left(vm, host_id) != nullptr) {
    observe_elsewhere(draft, host_id, mark, observation);
    return true;
  }
  // That it left once says nothing of the VM that came back.
  if (observation.absent()) return observation.left_epoch() != 0;
  return observation.has_vm() && is_of_waiting(vm, host_id, observation.vm());
}
template <class Record>
bool observe_other(Draft&, const Record&, const std::string&, const v1::ObservationMark&, const v1::Observation&) {
  return false;
}

// It is not on its host any more.
template <class Record>
void finish_deletion(Draft& draft, const std::string& id) {
  draft.erase<Record>(id);
}
// By its pool alone a host is told of what is in it. That the pool is gone may come when that what was in it is gone
// was lost; it is asked and told again.
template <>
void finish_deletion<v1::Pool>(Draft& draft, const std::string& id) {
  if (is_empty_pool(draft, id)) draft.erase<v1::Pool>(id);
}
template <>
void finish_deletion<v1::Vm>(Draft& draft, const std::string& id) {
  v1::Vm& vm = draft.edit<v1::Vm>(id);
  vm.mutable_placement()->clear_host_id();
  vm.mutable_status()->set_state(v1::VmStatus::DELETING);
}

// Whether the id is of that kind.
template <class Record>
bool observe_kind(Draft& draft, const std::string& host_id, const v1::ObservationMark& mark,
                  const v1::Observation& observation) {
  const std::string& id = observation.id();
  const Record* record = draft.find<Record>(id);
  if (record == nullptr) return false;
#ifndef GANTRY_BREAK_HEAR_ANYONE
  if (!may_tell_of(draft.view(), host_id, id)) return true;
#endif
  if (is_shared(*record)) {
    observe_shared_pool(draft, host_id, mark, observation);
    return true;
  }
  if (observe_other(draft, *record, host_id, mark, observation)) return true;
  if (!is_news(record->status(), host_id, mark)) return true;
  if (observation.absent()) {
    if (record->meta().has_deletion()) finish_deletion<Record>(draft, id);
    return true;
  }
  const auto* status = status_in(observation, record);
  if (status == nullptr) return true;
  auto next = *status;
  bound(next);
  make_printable(next, {.bytes_max = kStatusTextBytesMax, .lines = model::Lines::several});
  set_host(next, host_id);
  steady(record->status(), next);
  *next.mutable_observed() = record->status().observed();
  if (to_bytes(next) == to_bytes(record->status())) return true;
  *next.mutable_observed() = mark;
  *draft.edit<Record>(id).mutable_status() = std::move(next);
  return true;
}

}  // namespace

void steady(const v1::PoolStatus& before, v1::PoolStatus& after) {
  const std::uint64_t step_bytes = std::max<std::uint64_t>(64 * kMiB, before.capacity_bytes() / 100);
  if (!moved(before.available_bytes(), after.available_bytes(), step_bytes)) {
    after.set_available_bytes(before.available_bytes());
  }
  if (!moved(before.allocation_bytes(), after.allocation_bytes(), step_bytes)) {
    after.set_allocation_bytes(before.allocation_bytes());
  }
}

bool is_address(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return ::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

bool is_newer(const v1::ObservationMark& a, const v1::ObservationMark& b) {
  if (a.incarnation() != b.incarnation()) return a.incarnation() > b.incarnation();
  return a.sequence() > b.sequence();
}

void observe(Draft& draft, const std::string& host_id, const v1::ObservationMark& mark,
             const v1::Observation& observation) {
  const auto* network = draft.find<v1::Network>(observation.id());
  if (network != nullptr && model::spans_hosts(*network)) {
    return observe_segment(draft, host_id, mark, observation);
  }
  observe_kind<v1::Vm>(draft, host_id, mark, observation) ||
      observe_kind<v1::Volume>(draft, host_id, mark, observation) ||
      observe_kind<v1::Image>(draft, host_id, mark, observation) ||
      observe_kind<v1::Network>(draft, host_id, mark, observation) ||
      observe_kind<v1::Pool>(draft, host_id, mark, observation);
}

void observe_host(v1::Host& host, const v1::HostStatus& status, const v1::ObservationMark& mark, Now now) {
  const v1::HostStatus& before = host.status();
  if (!is_newer(mark, before.observed())) return;
  v1::HostStatus next = status;
  bound(next);
  make_printable(next, {.bytes_max = kFactBytesMax});
  next.set_state(before.state());
  *next.mutable_last_seen_at() = before.last_seen_at();
  *next.mutable_observed() = before.observed();
  if (!moved(before.memory_available_bytes(), next.memory_available_bytes(), before.memory_bytes() / 8 + 1)) {
    next.set_memory_available_bytes(before.memory_available_bytes());
  }
  const Milliseconds silent_ms = now.unix_ms - time_of(before.last_seen_at());
  if (to_bytes(next) == to_bytes(before) && silent_ms >= 0 && silent_ms < kSeenEveryMs) return;
  set_time(*next.mutable_last_seen_at(), now.unix_ms);
  *next.mutable_observed() = mark;
  *host.mutable_status() = std::move(next);
}

}  // namespace gantry::control
