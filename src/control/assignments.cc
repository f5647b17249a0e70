#include "control/assignments.h"

#include "model/state.h"

namespace gantry::control {
namespace {

std::string host_of_pool(const View& view, const std::string& pool_id) {
  const auto* pool = view.find<v1::Pool>(pool_id);
  return pool == nullptr ? std::string() : pool->spec().host_id();
}

void set(v1::Assignment& assignment, const v1::Vm& vm) { *assignment.mutable_vm() = vm; }
void set(v1::Assignment& assignment, const v1::Volume& volume) { *assignment.mutable_volume() = volume; }
void set(v1::Assignment& assignment, const v1::Image& image) { *assignment.mutable_image() = image; }
void set(v1::Assignment& assignment, const v1::Network& network) { *assignment.mutable_network() = network; }
void set(v1::Assignment& assignment, const v1::Pool& pool) { *assignment.mutable_pool() = pool; }

template <class Record>
std::optional<Routed> route_kind(const View& view, const std::string& id) {
  const Record* record = view.find<Record>(id);
  if (record == nullptr) return std::nullopt;
  Routed routed{.host_id = host_of(view, *record), .assignment = {}};
  if (routed.host_id.empty()) return std::nullopt;
  set(routed.assignment, *record);
  return routed;
}

// Those of `user_id`'s users of that kind that are on the host.
template <class Record>
void add_users(const View& view, const std::string& user_id, const std::string& host_id, bool only_open,
               std::vector<v1::Assignment>& assignments) {
  for (const std::string& id : view.users_of_kind<Record>(user_id)) {
    const Record* record = view.find<Record>(id);
    if (record == nullptr || host_of(view, *record) != host_id) continue;
    if (only_open && model::is_converged(*record)) continue;
    set(assignments.emplace_back(), *record);
  }
}

template <class Records>
std::string host_in(const Records& records, const View& view, const std::string& id) {
  if (const auto* vm = records.template find<v1::Vm>(id)) return host_of(view, *vm);
  if (const auto* volume = records.template find<v1::Volume>(id)) return host_of(view, *volume);
  if (const auto* image = records.template find<v1::Image>(id)) return host_of(view, *image);
  if (const auto* network = records.template find<v1::Network>(id)) return host_of(view, *network);
  if (const auto* pool = records.template find<v1::Pool>(id)) return host_of(view, *pool);
  return {};
}

}  // namespace

std::string host_of(const View&, const v1::Vm& vm) { return vm.placement().host_id(); }
std::string host_of(const View& view, const v1::Volume& volume) { return host_of_pool(view, volume.spec().pool()); }
std::string host_of(const View& view, const v1::Image& image) { return host_of_pool(view, image.spec().pool()); }
std::string host_of(const View&, const v1::Network& network) { return network.status().host_id(); }
std::string host_of(const View&, const v1::Pool& pool) { return pool.spec().host_id(); }

std::string host_of_id(const View& view, const std::string& id) { return host_in(view, view, id); }
std::string host_of_id(const Draft& draft, const std::string& id) { return host_in(draft, draft.view(), id); }

std::optional<Routed> route(const View& view, const std::string& id) {
  if (auto vm = route_kind<v1::Vm>(view, id)) return vm;
  if (auto volume = route_kind<v1::Volume>(view, id)) return volume;
  if (auto image = route_kind<v1::Image>(view, id)) return image;
  if (auto network = route_kind<v1::Network>(view, id)) return network;
  return route_kind<v1::Pool>(view, id);
}

std::vector<v1::Assignment> assignments_of(const View& view, const std::string& host_id, bool only_open) {
  std::vector<v1::Assignment> assignments;
  add_users<v1::Pool>(view, host_id, host_id, only_open, assignments);
  add_users<v1::Network>(view, host_id, host_id, only_open, assignments);
  const auto pools = view.users_of_kind<v1::Pool>(host_id);
  for (const std::string& pool : pools) add_users<v1::Image>(view, pool, host_id, only_open, assignments);
  for (const std::string& pool : pools) add_users<v1::Volume>(view, pool, host_id, only_open, assignments);
  add_users<v1::Vm>(view, host_id, host_id, only_open, assignments);
  return assignments;
}

}  // namespace gantry::control
