#include "control/keepers.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "control/pool_hosts.h"
#include "model/state.h"

namespace gantry::control {
namespace {

template <class Record>
void give(Record& record, const std::string& host_id) {
  if (host_id.empty() || record.keeper().host_id() == host_id) return;
  record.mutable_keeper()->set_host_id(host_id);
  record.mutable_keeper()->set_epoch(record.keeper().epoch() + 1);
}

// How good a host is as a keeper: the less the better.
std::tuple<bool, bool, std::size_t> rank(const View& view, const v1::Host& host, const KeeperWish& wish) {
  const std::string& id = host.meta().id();
  const auto& recipes = host.status().recipes();
  const bool knows = wish.recipe.empty() || std::find(recipes.begin(), recipes.end(), wish.recipe) != recipes.end();
  const bool takes = !wish.upload || view.own_hosts.contains(id);
  const std::size_t keeps = view.users_of_kind<v1::Image>(id).size() + view.users_of_kind<v1::Volume>(id).size();
  return {!takes, !knows, keeps};
}

KeeperWish wish_of(const v1::Volume&) { return {}; }
KeeperWish wish_of(const v1::Image& image) {
  return {.recipe = image.spec().recipe(), .upload = image.status().state() == v1::ImageStatus::WAITING};
}

// The host whose guest has it open, or may have.
std::string demanded_host(const Draft& draft, const v1::Volume& volume) {
  for (const std::string& id : draft.view().users_of_kind<v1::Vm>(volume.meta().id())) {
    const auto* vm = draft.find<v1::Vm>(id);
    if (vm == nullptr) continue;
    const v1::VmMove& move = vm->placement().move();
    const bool is_copy = std::any_of(move.disks().begin(), move.disks().end(),
                                     [&](const auto& disk) { return disk.copy() == volume.meta().id(); });
    const std::string& host_id = is_copy ? move.host_id() : vm->placement().host_id();
    if (!host_id.empty()) return host_id;
  }
  return {};
}
std::string demanded_host(const Draft&, const v1::Image&) { return {}; }

// Its keeper may be at work on the file itself.
bool is_growing(const v1::Volume& volume) {
  const v1::VolumeStatus& status = volume.status();
  const bool made = !status.path().empty();
  // FAILED is its last word: it tries no more.
  return made && status.capacity_bytes() < volume.spec().capacity_bytes() && !model::growth_failed(volume) &&
         status.state() != v1::VolumeStatus::FAILED && !volume.meta().has_deletion();
}
bool is_growing(const v1::Image&) { return false; }

// What was not made is left to do, for all that its keeper has said its last word.
bool has_failed(const v1::Image& image) { return image.status().state() == v1::ImageStatus::FAILED; }
bool has_failed(const v1::Volume& volume) { return volume.status().state() == v1::VolumeStatus::FAILED; }

// The keeper it should have instead of the one it has; nothing: all is well, or there is no better one now.
template <class Record>
std::optional<std::string> next_keeper(MachineContext& context, const Record& record) {
  const View& view = context.draft.view();
  const auto* pool = view.find<v1::Pool>(record.spec().pool());
  if (pool == nullptr || !pool->spec().shared()) return std::nullopt;
  const std::string& now_id = record.keeper().host_id();
  const auto* now = context.draft.find<v1::Host>(now_id);
  if (now != nullptr && is_growing(record)) return std::nullopt;
  const std::string demanded = demanded_host(context.draft, record);
  std::string next = demanded;
  if (demanded.empty()) {
    const bool stays = now != nullptr && !now->meta().has_deletion();
    if (stays && model::is_converged(record) && !has_failed(record)) return std::nullopt;
    const bool able = now != nullptr && has_pool(view, now_id, *pool) && pool_obstacle(*pool, now_id).empty() &&
                      !is_lost(context, *now, record.meta().id());
    if (able) return std::nullopt;
    next = choose_keeper(view, *pool, wish_of(record));
    // No host that comes later says so of what it does not keep.
    if (next.empty()) context.look_again.insert(record.meta().id());
  }
  if (next.empty() || next == now_id) return std::nullopt;
  return next;
}

template <class Record>
void replace_lost(Draft& draft, Record& record) {
  const auto* pool = draft.view().find<v1::Pool>(record.spec().pool());
  if (pool == nullptr || !pool->spec().shared() || !model::is_converged(record)) return;
  if (is_growing(record) || !demanded_host(draft, record).empty()) return;
  const auto* host = draft.find<v1::Host>(record.keeper().host_id());
  if (host != nullptr && host->status().state() == v1::HostStatus::CONNECTED) return;
  give(record, choose_keeper(draft.view(), *pool, wish_of(record)));
}

template <class Record>
void run_keeper(MachineContext& context, const std::string& id) {
  const Record* record = context.draft.find<Record>(id);
  if (record == nullptr) return;
  if (const auto next = next_keeper(context, *record)) give(context.draft.edit<Record>(id), *next);
}

// A host that goes may leave more behind than one transaction takes.
template <class Record>
void look_soon(MachineContext& context, const std::string& used_id) {
  for (const std::string& id : context.draft.view().users_of_kind<Record>(used_id)) {
    const Record* record = context.draft.find<Record>(id);
    if (record != nullptr && next_keeper(context, *record)) context.look_again.insert(id);
  }
}

}  // namespace

bool is_lost(MachineContext& context, const v1::Host& host, const std::string& record_id) {
  if (host.meta().has_deletion()) return true;
  if (context.connected.count(host.meta().id()) != 0 || !context.may_lose_hosts) return false;
  if (context.now.unix_ms - time_of(host.status().last_seen_at()) >= kKeeperPatienceMs) return true;
  context.look_again.insert(record_id);
  return false;
}

void give_to_keeper(v1::Volume& volume, const std::string& host_id) { give(volume, host_id); }
void give_to_keeper(v1::Image& image, const std::string& host_id) { give(image, host_id); }

void replace_lost_keeper(Draft& draft, v1::Volume& volume) { replace_lost(draft, volume); }
void replace_lost_keeper(Draft& draft, v1::Image& image) { replace_lost(draft, image); }

std::string choose_keeper(const View& view, const v1::Pool& pool, const KeeperWish& wish) {
  std::string best;
  std::tuple<bool, bool, std::size_t> best_rank;
  for (const v1::PoolOnHost& there : pool.status().hosts()) {
    const auto* host = view.find<v1::Host>(there.host_id());
    if (host == nullptr || there.state() != v1::PoolStatus::READY || !has_pool(view, there.host_id(), pool)) continue;
    if (host->status().state() != v1::HostStatus::CONNECTED || host->meta().has_deletion()) continue;
    const auto its_rank = rank(view, *host, wish);
    if (!best.empty() && its_rank >= best_rank) continue;
    best = there.host_id();
    best_rank = its_rank;
  }
  return best;
}

void run_keepers(MachineContext& context, const std::string& id) {
  run_keeper<v1::Volume>(context, id);
  run_keeper<v1::Image>(context, id);
  if (const auto* vm = context.draft.find<v1::Vm>(id)) {
    for (const v1::VmDisk& disk : vm->spec().disks()) run_keeper<v1::Volume>(context, disk.volume());
  }
  const View& view = context.draft.view();
  const auto* pool = view.find<v1::Pool>(id);
  const bool spreads = view.find<v1::Host>(id) != nullptr || (pool != nullptr && pool->spec().shared());
  if (!spreads) return;
  look_soon<v1::Image>(context, id);
  look_soon<v1::Volume>(context, id);
}

}  // namespace gantry::control
