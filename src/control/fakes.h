// For tests of this room: a store, a link, an executor and a host in memory, all on one thread and one made-up clock,
// with the store's failures to order.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gantry/v1/link.pb.h"
#include "model/keys.h"
#include "port/executor.h"
#include "port/link.h"
#include "port/store.h"

namespace gantry::control {

class FakeExecutor final : public port::Executor {
 public:
  void post(std::function<void()> work) override { post_after(0, std::move(work)); }
  void post_after(Milliseconds delay_ms, std::function<void()> work) override {
    queue_.emplace(std::pair{now_.monotonic_ms + delay_ms, ++count_}, std::move(work));
  }
  [[nodiscard]] Now now() const override { return now_; }

  // Runs what is due within that time, in order.
  void run_for(Milliseconds duration_ms) {
    const Milliseconds end_ms = now_.monotonic_ms + duration_ms;
    while (step(end_ms)) continue;
    advance_to(end_ms);
  }
  // One piece of work due until then; false when there is none.
  bool step(Milliseconds end_ms) {
    if (queue_.empty() || queue_.begin()->first.first > end_ms) return false;
    auto first = queue_.extract(queue_.begin());
    advance_to(first.key().first);
    first.mapped()();
    return true;
  }

 private:
  void advance_to(Milliseconds monotonic_ms) {
    if (monotonic_ms <= now_.monotonic_ms) return;
    now_.unix_ms += monotonic_ms - now_.monotonic_ms;
    now_.monotonic_ms = monotonic_ms;
  }

  std::map<std::pair<Milliseconds, std::uint64_t>, std::function<void()>> queue_;
  std::uint64_t count_ = 0;
  Now now_{.monotonic_ms = 1'000, .unix_ms = 1'800'000'000'000};
};

class FakeStore final : public port::Store {
 public:
  enum class Fault { none, unavailable, unknown_written, unknown_lost, unknown_late, conflict };

  explicit FakeStore(port::Executor& executor) : executor_(executor) {}

  // The next commits meet these, in order.
  std::deque<Fault> faults;
  // Decides on a fault for each commit that `faults` says nothing of.
  std::function<Fault(const port::Txn&)> choose_fault;
  std::uint64_t commits = 0;
  // What those that are unavailable say.
  std::string detail;
  // Reads and leases are not answered.
  bool away = false;

  void commit(port::Txn txn, CommitCallback done) override {
    Fault fault = Fault::none;
    if (!faults.empty()) {
      fault = faults.front();
      faults.pop_front();
    } else if (choose_fault) {
      fault = choose_fault(txn);
    }
    port::CommitResult result{.outcome = port::CommitOutcome::unknown};
    if (fault == Fault::none || fault == Fault::unknown_written) {
      const port::CommitResult real = write(txn);
      if (fault == Fault::none) result = real;
    }
    if (fault == Fault::unknown_late) executor_.post_after(30, [this, txn] { write(txn); });
    if (fault == Fault::unavailable) result = {port::CommitOutcome::unavailable, 0, detail};
    if (fault == Fault::conflict) result = {.outcome = port::CommitOutcome::conflict, .revision = revision_};
    executor_.post([done = std::move(done), result] { done(result); });
  }

  void range(port::RangeRequest request, RangeCallback done) override {
    if (away) return executor_.post([done = std::move(done)] { done(tl::unexpected(port::StoreError::unavailable)); });
    port::Range range{.entries = {}, .revision = revision_};
    for (auto at = entries_.lower_bound(request.first); at != entries_.end(); ++at) {
      const bool within = request.end.empty() ? at->first.rfind(request.first, 0) == 0 : at->first < request.end;
      if (!within) break;
      range.entries.push_back(at->second);
    }
    executor_.post([done = std::move(done), range] { done(range); });
  }

  std::unique_ptr<port::Watch> watch(std::string prefix, port::Revision from, port::WatchCallback callback) override {
    auto state = std::make_shared<WatchState>(WatchState{std::move(prefix), std::move(callback), true});
    for (const port::ChangeBatch& batch : history_) {
      if (batch.revision >= from) deliver(state, batch);
    }
    watches_.push_back(state);
    return std::make_unique<FakeWatch>(state);
  }

  void break_watches() {
    for (const auto& state : std::exchange(watches_, {})) {
      executor_.post([state] {
        if (state->active) state->callback(tl::unexpected<port::StoreError>(port::StoreError::compacted));
      });
    }
  }

  // Leases end when a test says so.
  void grant_lease(Milliseconds, LeaseCallback done) override {
    if (away) return done(tl::unexpected(port::StoreError::unavailable));
    done(*leases_.insert(++lease_count_).first);
  }
  void keep_lease_alive(port::LeaseId lease, LeaseCallback done) override {
    if (away) return done(tl::unexpected(port::StoreError::unavailable));
    if (!leases_.contains(lease)) return done(tl::unexpected(port::StoreError::no_such_lease));
    done(lease);
  }
  void revoke_lease(port::LeaseId lease, LeaseCallback done) override {
    end_lease(lease);
    done(lease);
  }
  void end_lease(port::LeaseId lease) {
    leases_.erase(lease);
    port::Txn txn;
    for (const auto& [key, entry] : entries_) {
      if (entry.lease == lease) txn.writes.push_back({.kind = port::Write::Kind::erase, .key = key, .value = {}});
    }
    write(txn);
  }
  void compact(port::Revision revision, std::function<void(Result<port::Revision, port::StoreError>)> done) override {
    done(revision);
  }

  template <class Record>
  [[nodiscard]] std::vector<Record> all(std::string_view kind) const {
    std::vector<Record> records;
    const std::string prefix = model::prefix_of(kind);
    for (auto at = entries_.lower_bound(prefix); at != entries_.end() && at->first.rfind(prefix, 0) == 0; ++at) {
      records.emplace_back().ParseFromString(at->second.value);
    }
    return records;
  }
  [[nodiscard]] const std::map<std::string, port::Entry>& entries() const { return entries_; }

  port::CommitResult write(const port::Txn& txn) {
    for (const port::Compare& compare : txn.compares) {
      const auto found = entries_.find(compare.key);
      const port::Revision modified = found == entries_.end() ? 0 : found->second.modified;
      if (modified != compare.modified) return {.outcome = port::CommitOutcome::conflict, .revision = revision_};
    }
    for (const port::Write& each : txn.writes) {
      if (each.lease != 0 && !leases_.contains(each.lease)) return {.outcome = port::CommitOutcome::unavailable};
    }
    port::ChangeBatch batch{.revision = revision_ + 1, .changes = {}};
    std::set<std::string> written;
    for (const port::Write& each : txn.writes) {
      if (!written.insert(each.key).second) std::abort();  // as the contract says
      apply(each, batch);
    }
    if (!batch.changes.empty()) {
      revision_ = batch.revision;
      ++commits;
      history_.push_back(batch);
      for (const auto& state : watches_) deliver(state, batch);
    }
    return {.outcome = port::CommitOutcome::committed, .revision = revision_};
  }

 private:
  struct WatchState {
    std::string prefix;
    port::WatchCallback callback;
    bool active = true;
  };
  class FakeWatch final : public port::Watch {
   public:
    explicit FakeWatch(std::shared_ptr<WatchState> state) : state_(std::move(state)) {}
    ~FakeWatch() override { state_->active = false; }

   private:
    std::shared_ptr<WatchState> state_;
  };

  static void apply_entry(port::Entry& entry, const port::Write& write, port::Revision revision) {
    entry.key = write.key;
    entry.value = write.value;
    entry.lease = write.lease;
    entry.modified = revision;
    if (entry.created == 0) entry.created = revision;
  }

  void apply(const port::Write& write, port::ChangeBatch& batch) {
    port::Change change{.kind = write.kind, .entry = {}};
    if (write.kind == port::Write::Kind::put) {
      port::Entry& entry = entries_[write.key];
      apply_entry(entry, write, batch.revision);
      change.entry = entry;
    } else {
      if (entries_.erase(write.key) == 0) return;
      change.entry.key = write.key;
      change.entry.modified = batch.revision;
    }
    batch.changes.push_back(std::move(change));
  }

  void deliver(const std::shared_ptr<WatchState>& state, const port::ChangeBatch& batch) {
    executor_.post([state, batch] {
      if (state->active) state->callback(batch);
    });
  }

  port::Executor& executor_;
  std::map<std::string, port::Entry> entries_;
  port::Revision revision_ = 0;
  std::set<port::LeaseId> leases_;
  port::LeaseId lease_count_ = 0;
  std::vector<port::ChangeBatch> history_;
  std::vector<std::shared_ptr<WatchState>> watches_;
};

class FakeLink final : public port::ManagerLink {
 public:
  void send(const std::string& host_id, const v1::ToHost& message) override {
    if (to_host) to_host(host_id, message);
  }
  void on_message(std::function<void(const v1::FromHost&)> handler) override { message_ = std::move(handler); }
  void on_connection(std::function<void(const std::string&, bool)> handler) override {
    connection_ = std::move(handler);
  }
  void on_admission(std::function<port::Standing(const std::string&)> handler) override {
    standing_of = std::move(handler);
  }
  void drop(const std::string& host_id) override { dropped.insert(host_id); }

  std::function<void(const std::string&, const v1::ToHost&)> to_host;
  std::function<port::Standing(const std::string&)> standing_of;
  std::set<std::string> dropped;
  void say(const v1::FromHost& message) { message_(message); }
  void connect(const std::string& host_id, bool connected) { connection_(host_id, connected); }

 private:
  std::function<void(const v1::FromHost&)> message_;
  std::function<void(const std::string&, bool)> connection_;
};

// Does at once what it is told, and remembers what it did, as a real host's disks and hypervisor would.
class FakeHost {
 public:
  FakeHost(port::Executor& executor, FakeLink& link, std::string id)
      : executor_(executor), link_(link), id_(std::move(id)) {}

  // Names of what cannot be made, and why.
  std::map<std::string, v1::Problem> problems;
  // Makes no volume larger than that.
  std::uint64_t volume_bytes_max = ~0ULL;
  // Keeps silent and does nothing.
  bool asleep = false;
  // What it did: "start vm-1 task-2".
  std::vector<std::string> deeds;
  std::uint64_t memory_bytes = 8ULL << 30U;
  // Where other hosts reach it.
  std::string address;
  // What it is beside that.
  v1::HostStatus facts;
  // What it tells of the moves of VMs, by VM.
  std::map<std::string, v1::VmMoveStatus> moves;
  // And of those of their disks.
  std::map<std::string, v1::VmMoveStatus> disk_moves;

  void connect() {
    link_.connect(id_, true);
    v1::FromHost message = begin();
    message.set_hello(true);
    fill(*message.mutable_host());
    link_.say(message);
  }
  void disconnect() { link_.connect(id_, false); }

  void receive(const v1::ToHost& message) {
    for (const v1::Assignment& assignment : message.assignments()) {
      if (asleep) return;
      executor_.post_after(1, [this, assignment] { carry_out(assignment); });
    }
  }

  void say(const v1::Observation& observation) {
    v1::FromHost message = begin();
    *message.add_observations() = observation;
    link_.say(message);
  }
  // It tells that of the VM's move from now on.
  void tell_of_move(const v1::Vm& vm, const v1::VmMoveStatus& status) {
    moves[vm.meta().id()] = status;
    tend(vm);
  }
  void tell_of_disk_move(const v1::Vm& vm, const v1::VmMoveStatus& status) {
    disk_moves[vm.meta().id()] = status;
    tend(vm);
  }
  // The guest powers off by itself.
  void guest_ends(const std::string& vm_id) { running_.erase(vm_id); }
  [[nodiscard]] bool runs(const std::string& vm_id) const { return running_.count(vm_id) != 0; }
  [[nodiscard]] bool has(const std::string& id) const { return there_.count(id) != 0; }

  v1::FromHost begin() {
    v1::FromHost message;
    message.set_host_id(id_);
    message.set_host_name("Alpha.example");
    message.mutable_mark()->set_incarnation(1);
    message.mutable_mark()->set_sequence(++sequence_);
    return message;
  }

 private:
  void fill(v1::HostStatus& status) const {
    status.set_cpus(8);
    status.set_memory_bytes(memory_bytes);
    status.set_accelerator("tcg");
    status.set_swtpm_version("0.7.1");
    status.set_address(address);
    status.add_recipes("debian-12");
    status.MergeFrom(facts);
  }

  void carry_out(const v1::Assignment& assignment) {
    if (asleep || assignment.look_only()) return;
    switch (assignment.record_case()) {
      case v1::Assignment::kVm: tend(assignment.vm()); break;
      case v1::Assignment::kVolume:
        tend_thing(assignment.volume(), &v1::Observation::mutable_volume, v1::VolumeStatus::READY,
                   v1::VolumeStatus::FAILED);
        break;
      case v1::Assignment::kImage:
        tend_thing(assignment.image(), &v1::Observation::mutable_image, v1::ImageStatus::READY,
                   v1::ImageStatus::FAILED);
        break;
      case v1::Assignment::kNetwork:
        tend_thing(assignment.network(), &v1::Observation::mutable_network, v1::NetworkStatus::READY,
                   v1::NetworkStatus::FAILED);
        break;
      case v1::Assignment::kPool:
        tend_thing(assignment.pool(), &v1::Observation::mutable_pool, v1::PoolStatus::READY, v1::PoolStatus::FAILED);
        break;
      default: break;
    }
  }

  void add_facts(const v1::Volume& volume, v1::VolumeStatus& status) const {
    status.set_observed_generation(volume.meta().generation());
    status.set_path("/pool/" + volume.meta().id());
    status.set_capacity_bytes(std::min(volume.spec().capacity_bytes(), volume_bytes_max));
    if (volume.spec().capacity_bytes() > volume_bytes_max) status.mutable_problem()->set_summary("the pool is full");
  }
  static void add_facts(const v1::Pool&, v1::PoolStatus& status) { status.set_capacity_bytes(100ULL << 30U); }
  static void add_facts(const v1::Image& image, v1::ImageStatus& status) {
    status.set_observed_generation(image.meta().generation());
    status.set_virtual_size_bytes(2ULL << 30U);
  }
  static void add_facts(const v1::Network&, v1::NetworkStatus&) {}

  template <class Record, class Mutable, class State>
  void tend_thing(const Record& record, Mutable status_of, State ready, State failed) {
    const std::string& id = record.meta().id();
    v1::Observation observation;
    observation.set_id(id);
    if (record.meta().has_deletion()) {
      if (there_.erase(id) != 0) deeds.push_back("delete " + id);
      observation.set_absent(true);
    } else {
      auto& status = *(observation.*status_of)();
      add_facts(record, status);
      const auto problem = problems.find(record.meta().name());
      status.set_state(problem != problems.end() ? failed : ready);
      if (problem != problems.end()) {
        *status.mutable_problem() = problem->second;
      } else {
        there_.insert(id);
      }
    }
    say(observation);
  }

  // A VM that moves here, or left.
  void tend_elsewhere(const v1::Vm& vm, v1::Observation observation) {
    const std::string& id = vm.meta().id();
    if (vm.placement().move().host_id() == id_) {
      if (!moves.contains(id)) return;
      *observation.mutable_vm()->mutable_move() = moves[id];
      return say(observation);
    }
    for (const v1::LeftHost& left : vm.placement().left_hosts()) {
      if (left.host_id() != id_) continue;
      running_.erase(id);
      booted_.erase(id);
      there_.erase(id);
      moves.erase(id);
      observation.set_absent(true);
      observation.set_left_epoch(left.epoch());
      say(observation);
    }
  }

  void tend(const v1::Vm& vm) {
    const std::string& id = vm.meta().id();
    v1::Observation observation;
    observation.set_id(id);
    if (vm.placement().host_id() != id_) return tend_elsewhere(vm, observation);
    if (vm.meta().has_deletion()) {
      running_.erase(id);
      there_.erase(id);
      booted_.erase(id);
      observation.set_absent(true);
      say(observation);
      return;
    }
    there_.insert(id);
    v1::VmStatus& status = *observation.mutable_vm();
    status.set_observed_generation(vm.meta().generation());
    const auto problem = problems.find(vm.meta().name());
    const bool wanted = vm.spec().power() != v1::VmSpec::STOPPED;
    if (running_.count(id) != 0 && (!wanted || running_[id] != vm.spec().boot_id())) {
      deeds.push_back("stop " + id + " " + running_[id]);
      running_.erase(id);
    }
    if (wanted && booted_[id].empty() && !vm.placement().moved_by().empty()) {
      // It came while it ran.
      booted_[id] = running_[id] = vm.spec().boot_id();
    }
    if (wanted && booted_[id] != vm.spec().boot_id()) {
      booted_[id] = vm.spec().boot_id();
      deeds.push_back("start " + id + " " + vm.spec().boot_id());
      if (problem == problems.end()) running_[id] = vm.spec().boot_id();
    }
    if (moves.contains(id)) *status.mutable_move() = moves[id];
    if (disk_moves.contains(id)) *status.mutable_disk_move() = disk_moves[id];
    status.set_boot_id(booted_[id]);
    status.set_reset_id(vm.spec().reset_id());
    status.set_state(running_.count(id) == 0                   ? v1::VmStatus::STOPPED
                     : vm.spec().power() == v1::VmSpec::PAUSED ? v1::VmStatus::PAUSED
                                                               : v1::VmStatus::RUNNING);
    if (wanted && running_.count(id) == 0) {
      if (problem != problems.end()) {
        status.set_state(v1::VmStatus::FAILED);
        *status.mutable_problem() = problem->second;
        status.set_failed_operation_id(vm.spec().boot_id());
      } else {
        status.mutable_exit()->set_reason(v1::VmExit::GUEST_SHUTDOWN);
        status.mutable_exit()->set_boot_id(booted_[id]);
      }
    }
    say(observation);
  }

  port::Executor& executor_;
  FakeLink& link_;
  std::string id_;
  std::uint64_t sequence_ = 0;
  std::set<std::string> there_;
  std::map<std::string, std::string> running_;
  std::map<std::string, std::string> booted_;
};

}  // namespace gantry::control
