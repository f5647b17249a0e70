#include "sim/records.h"

#include <algorithm>
#include <utility>

#include "model/keys.h"
#include "model/limits.h"
#include "model/state.h"

namespace gantry::sim {
namespace {

// Users of the rehearsal ask for no other: it is the default.
constexpr std::uint64_t kOvercommitPercent = 200;

std::string host_in(const v1::Vm& vm, const Records&) { return vm.placement().host_id(); }
std::string host_in(const v1::Volume& volume, const Records& records) { return records.home_of(volume.spec().pool()); }
std::string host_in(const v1::Image& image, const Records& records) { return records.home_of(image.spec().pool()); }
std::string host_in(const v1::Network& network, const Records&) { return network.status().host_id(); }
std::string host_in(const v1::Pool& pool, const Records&) { return pool.spec().host_id(); }
std::string host_in(const v1::Host& host, const Records&) { return host.meta().id(); }
std::string host_in(const v1::SecurityGroup&, const Records&) { return {}; }
std::string host_in(const v1::Rule&, const Records&) { return {}; }
std::string host_in(const v1::Task&, const Records&) { return {}; }

std::set<std::string> hosts_of(const v1::Vm& vm) {
  std::set<std::string> hosts = {vm.placement().host_id(), vm.placement().move().host_id()};
  for (const v1::LeftHost& left : vm.placement().left_hosts()) hosts.insert(left.host_id());
  hosts.erase("");
  return hosts;
}

std::string in_short(const v1::Task& task) {
  const std::string why = task.has_problem() ? ": " + task.problem().summary() + ": " + task.problem().cause() : "";
  return task.action() + " " + v1::Task::State_Name(task.state()) + why;
}

}  // namespace

Records::Records(port::Store& store, Trace& trace, const Wishes& wishes) : trace_(trace), wishes_(wishes) {
  watch_ = store.watch("/", 1, [this](const Result<port::ChangeBatch, port::StoreError>& batch) {
    if (batch) {
      apply(*batch);
    } else {
      trace_.violation("the store ended the checks' own watch");
    }
  });
}

bool Records::knows_pool_ready(const std::string& host_id, const std::string& path) const {
  return std::ranges::any_of(pools, [&](const auto& entry) {
    const v1::Pool& pool = entry.second;
    return pool.spec().host_id() == host_id && pool.spec().path() == path &&
           pool.status().state() == v1::PoolStatus::READY;
  });
}

std::string Records::home_of(const std::string& id) const {
  const auto home = homes_.find(id);
  return home == homes_.end() ? std::string() : home->second;
}

// Nothing goes from one host to another unless it is moved: whatever becomes of a host, its guests wait for it.
void Records::note_home(const std::string& id, const std::string& host_id, bool moves) {
  if (host_id.empty()) return;
  const auto [home, is_new] = homes_.try_emplace(id, host_id);
  if (is_new || home->second == host_id) return;
  if (!moves)
    trace_.violation(id + " is on host " + home->second + " and was put on " + host_id + "; nobody asked for that");
  home->second = host_id;
}

// Each is one host's alone, for ever.
void Records::note_epoch(const std::string& vm_id, std::uint64_t epoch, const std::string& host_id) {
  if (host_id.empty()) return;
  const auto [first, is_new] = epochs_.try_emplace({vm_id, epoch}, host_id);
  if (is_new || first->second == host_id) return;
  trace_.violation("epoch " + std::to_string(epoch) + " of " + vm_id + " is " + first->second + "'s and " + host_id +
                   "'s");
}

bool Records::concerns(const std::string& vm_id, const std::string& host_id) const {
  constexpr Milliseconds kBehindMs = 20'000;
  const auto vm = vms.find(vm_id);
  if (vm != vms.end() && hosts_of(vm->second).contains(host_id)) return true;
  const auto last = concerned_.find({vm_id, host_id});
  return last != concerned_.end() && trace_.now_ms() - last->second < kBehindMs;
}

bool Records::is_emptied(const std::string& host_id) const {
  const auto host = hosts.find(host_id);
  if (host == hosts.end() || !host->second.spec().maintenance()) return false;
  return wishes_.asked_to_empty(host_id, host->second.meta().name());
}

void Records::check_moves_at_once(const v1::Vm& next) {
  for (const std::string& end : {next.placement().host_id(), next.placement().move().host_id()}) {
    std::size_t moves = 1;
    for (const auto& [id, vm] : vms) {
      const v1::VmPlacement& place = vm.placement();
      if (id == next.meta().id() || !place.has_move()) continue;
      if (place.host_id() == end || place.move().host_id() == end) ++moves;
    }
    if (moves > model::kMovesAtOnce) {
      trace_.violation(end + " is emptied, or filled, by " + std::to_string(moves) + " moves at once");
    }
  }
}

void Records::check_move(const v1::Vm* before, const v1::Vm& after) {
  const std::string& id = after.meta().id();
  const v1::VmPlacement& place = after.placement();
  if (before != nullptr) {
    for (const std::string& host_id : hosts_of(*before)) concerned_[{id, host_id}] = trace_.now_ms();
  }
  note_epoch(id, place.epoch(), place.host_id());
  if (place.has_move()) {
    note_epoch(id, place.move().epoch(), place.move().host_id());
    targets_.emplace(id, place.move().host_id());
    const std::string& task_id = place.move().task_id();
    const bool begins = before == nullptr || before->placement().move().task_id() != task_id;
    bool asked = wishes_.asked_to_move(after.meta().name());
    if (begins && is_emptied(place.host_id())) {
      evacuations_.insert(task_id);
      // Users may ask for more.
      if (!asked) begun_.insert(id);
    }
    asked = asked || evacuations_.contains(task_id);
    if (!asked) trace_.violation(id + " is to be moved to " + place.move().host_id() + ", and nobody asked for it");
  }
  if (after.status().state() == v1::VmStatus::CRASHED) crashed_.emplace(id, after.status().exit().boot_id());
  for (const v1::LeftHost& left : place.left_hosts()) left_.emplace(id, left.host_id());
  if (before == nullptr || before->placement().host_id().empty()) return note_home(id, place.host_id(), false);
  // What is committed is what was under way, and the host that it comes from has something left to clear away.
  const v1::VmMove& move = before->placement().move();
  const bool moves = before->placement().has_move() && move.host_id() == place.host_id() &&
                     move.epoch() == place.epoch() && was_left(id, before->placement().host_id());
  note_home(id, place.host_id(), moves);
}

void Records::check_task(const v1::Task* before, const v1::Task& after) {
  if (before == nullptr || !model::is_ended(before->state()) || before->state() == after.state()) return;
  trace_.violation("task " + after.meta().id() + " had ended and changed its state again");
}

// It belongs to what the other belongs to, and comes to have its name.
void Records::note_copy(const v1::Volume& volume) {
  Birth& birth = births_[volume.meta().id()];
  birth.name = volume.meta().name();
  const auto other = births_.find(volume.spec().copy_of());
  if (other == births_.end()) return;
  birth.revision = other->second.revision;
  birth.at_ms = other->second.at_ms;
  copied_.insert({volume.meta().id(), volume.spec().copy_of()});
}

// Who asked for the move of a disk, or of its guest, asked for the end of one of the two.
bool Records::goes_by_move(const v1::Volume& volume) const {
  const auto task = tasks.find(volume.meta().deletion().task_id());
  if (task == tasks.end()) return false;
  if (task->second.action() == "vm.move") return copied_.contains(volume.meta().id());
  if (task->second.action() != "volume.move") return false;
  return task->second.target_id() == volume.meta().id() || task->second.target_id() == volume.spec().copy_of();
}

// A move deletes what came to nothing, and never a disk that is one.
void Records::check_dropped() {
  for (const auto& [vm_id, vm] : vms) {
    for (const v1::VmDisk& disk : vm.spec().disks()) {
      if (dropped_.contains(disk.volume()) && !vm.meta().has_deletion()) {
        trace_.violation("volume " + disk.volume() + " is dropped by a move, and " + vm_id + " has it");
      }
    }
  }
  dropped_.clear();
}

void Records::check_deletion(const std::string& id) const {
  if (moved_away_.contains(id) || wishes_.asked_to_delete(births_, id)) return;
  const auto birth = births_.find(id);
  const std::string name = birth == births_.end() ? "" : " \"" + birth->second.name + "\"";
  trace_.violation(id + name + " is to be deleted, and nobody asked for it");
}

void Records::check_deletions() const {
  for (const std::string& id : deleting_) check_deletion(id);
}

std::map<std::string, std::uint64_t> Records::promised_bytes(bool with_status) const {
  std::map<std::string, std::uint64_t> promised;
  for (const auto& [id, volume] : volumes) {
    const std::uint64_t is_bytes = with_status ? volume.status().capacity_bytes() : 0;
    promised[volume.spec().pool()] += std::max(volume.spec().capacity_bytes(), is_bytes);
  }
  return promised;
}

// What grows by the host's word alone (a volume as large as an image that was not there yet) was promised unseen.
void Records::check_promises(const std::map<std::string, std::uint64_t>& asked_before) {
  const auto promised = promised_bytes(true);
  for (const auto& [pool_id, asked_bytes] : promised_bytes(false)) {
    const auto before = asked_before.find(pool_id);
    const bool grew = asked_bytes > (before == asked_before.end() ? 0 : before->second);
    const auto capacity = capacity_gib_.find(home_of(pool_id));
    if (!grew || !inspected_.contains(pool_id) || capacity == capacity_gib_.end()) continue;
    const std::uint64_t limit_bytes = (capacity->second << 30U) * kOvercommitPercent / 100;
    if (promised.at(pool_id) <= limit_bytes) continue;
    trace_.violation("pool " + pool_id + " promises " + std::to_string(promised.at(pool_id)) + " bytes and may " +
                     std::to_string(limit_bytes));
  }
  for (const auto& [id, pool] : pools) {
    if (pool.status().capacity_bytes() != 0) inspected_.insert(id);
  }
}

// A VM's own volumes go with it, also when the host leaves that was to delete them.
bool Records::may_go(const std::string& id) const {
  const auto volume = volumes.find(id);
  return deleting_.contains(id) || (volume != volumes.end() && deleting_.contains(volume->second.spec().owner_vm_id()));
}

template <class Record>
void Records::change(std::map<std::string, Record>& records, const port::Change& change, const std::string& kind,
                     const std::string& id) {
  if (change.kind == port::Write::Kind::erase) {
    births_[id].gone_ms = trace_.now_ms();
    // Of a group nothing is on a host once no VM has it: it goes at once, and not unasked.
    constexpr bool kGoesAtOnce = std::is_same_v<Record, v1::SecurityGroup>;
    if (kGoesAtOnce && deleting_.insert(id).second) check_deletion(id);
    if (!std::is_same_v<Record, v1::Task> && !may_go(id))
      trace_.violation("the record of " + id + " is removed, and was not to be deleted");
    records.erase(id);
    return;
  }
  Record record;
  if (!record.ParseFromString(change.entry.value)) {
    trace_.violation("the record at " + change.entry.key + " cannot be read");
    return;
  }
  births_.try_emplace(id, Birth{.kind = kind,
                                .name = record.meta().name(),
                                .host_id = host_in(record, *this),
                                .revision = revision_,
                                .at_ms = trace_.now_ms()});
  if constexpr (std::is_same_v<Record, v1::Volume>) {
    note_copy(record);
    if (goes_by_move(record) && moved_away_.insert(id).second) dropped_.insert(id);
  }
  if (record.meta().has_deletion() && deleting_.insert(id).second) check_deletion(id);
  if constexpr (std::is_same_v<Record, v1::Task>) {
    const auto before = records.find(id);
    check_task(before == records.end() ? nullptr : &before->second, record);
  }
  if constexpr (std::is_same_v<Record, v1::Volume> || std::is_same_v<Record, v1::Image>) {
    keepers_.emplace(id, record.keeper().host_id());
  }
  if constexpr (std::is_same_v<Record, v1::Pool>) {
    if (record.spec().shared()) shared_pools[id] = record;
  }
  if constexpr (std::is_same_v<Record, v1::Vm>) {
    const auto before = records.find(id);
    check_move(before == records.end() ? nullptr : &before->second, record);
  } else {
    note_home(id, host_in(record, *this), false);
  }
  records[id] = std::move(record);
}

void Records::apply(const port::ChangeBatch& batch) {
  std::string line = "revision " + std::to_string(batch.revision) + ":";
  revision_ = batch.revision;
  const auto asked_before = promised_bytes(false);
  for (const port::Change& one : batch.changes) {
    const bool erased = one.kind == port::Write::Kind::erase;
    line += (erased ? " -" : " ") + one.entry.key;
    const std::string& key = one.entry.key;
    if (key.rfind(model::prefix_of(model::kHost), 0) != 0) last_news_ = batch.revision;
    const auto id_in = [&key](std::string_view kind) {
      const std::string prefix = model::prefix_of(kind);
      return key.rfind(prefix, 0) == 0 ? key.substr(prefix.size()) : std::string();
    };
    if (const auto id = id_in(model::kVm); !id.empty()) {
      change(vms, one, std::string(model::kVm), id);
      if (!erased) line += "(" + v1::VmStatus::State_Name(vms[id].status().state()) + ")";
    }
    if (const auto id = id_in(model::kVolume); !id.empty()) {
      change(volumes, one, std::string(model::kVolume), id);
      if (!erased) line += "(" + v1::VolumeStatus::State_Name(volumes[id].status().state()) + ")";
    }
    if (const auto id = id_in(model::kImage); !id.empty()) change(images, one, std::string(model::kImage), id);
    if (const auto id = id_in(model::kPool); !id.empty()) change(pools, one, std::string(model::kPool), id);
    if (const auto id = id_in(model::kNetwork); !id.empty()) change(networks, one, std::string(model::kNetwork), id);
    if (const auto id = id_in(model::kSecurityGroup); !id.empty()) {
      change(security_groups, one, std::string(model::kSecurityGroup), id);
    }
    if (const auto id = id_in(model::kRule); !id.empty()) change(rules, one, std::string(model::kRule), id);
    if (const auto id = id_in(model::kHost); !id.empty()) change(hosts, one, std::string(model::kHost), id);
    if (const auto id = id_in(model::kTask); !id.empty()) {
      change(tasks, one, std::string(model::kTask), id);
      if (!erased) line += "(" + in_short(tasks[id]) + ")";
    }
  }
  trace_.note("store", line);
  check_dropped();
  check_promises(asked_before);
  // Others may have ended in the same revision.
  for (const std::string& id : std::exchange(begun_, {})) check_moves_at_once(vms.at(id));
}

}  // namespace gantry::sim
