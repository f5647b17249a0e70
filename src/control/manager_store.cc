// Reading the records, following them, and committing.
#include "control/assignments.h"
#include "control/manager_impl.h"
#include "model/bridge_name.h"

namespace gantry::control {
namespace {

constexpr Milliseconds kFirstDelayMs = 50;
// So many more than are kept: forgetting them one by one would make each change two.
constexpr std::size_t kSlack = 100;
constexpr Milliseconds kLastDelayMs = 2'000;

Milliseconds next_delay(Milliseconds delay_ms) {
  return delay_ms == 0 ? kFirstDelayMs : std::min(kLastDelayMs, delay_ms * 2);
}

std::vector<HostSubnet> foreign_subnets(const View& view, std::vector<HostSubnet> subnets) {
  for (const auto& [id, network] : view.all<v1::Network>().by_id) {
    std::erase_if(subnets, [bridge = model::bridge_name(id)](const HostSubnet& one) { return one.device == bridge; });
  }
  return subnets;
}

}  // namespace

void ManagerCore::Impl::load() {
  if (loading_) return;
  loading_ = true;
  watch_.reset();
  store_.range({.first = "/"}, on_loop<Result<port::Range, port::StoreError>>(
                                   [](Impl& self, Result<port::Range, port::StoreError> range) {
                                     self.loading_ = false;
                                     self.loaded(std::move(range));
                                   }));
}

void ManagerCore::Impl::loaded(Result<port::Range, port::StoreError> range) {
  if (!range) {
    load_delay_ms_ = next_delay(load_delay_ms_);
    later(load_delay_ms_, [](Impl& self) { self.load(); });
    return;
  }
  load_delay_ms_ = 0;
  View::Touched touched;
  view_.load(*range, touched);
  // The bridges of networks on record go with their networks; one that an installation left behind stays in the way.
  if (!loaded_) view_.host_subnets = foreign_subnets(view_, options_.taken_subnets);
  loaded_ = true;
  watch();
  drop_strangers(View::Ids(connected_));
  for (const std::string& host_id : connected_) send_all(host_id);
  for (const std::string& host_id : connected_) next_round_.dirty.insert(host_id);
  view_changed(touched.records);
}

void ManagerCore::Impl::watch() {
  const std::uint64_t number = ++watch_number_;
  watch_ = store_.watch("/", view_.revision() + 1,
                        on_loop<Result<port::ChangeBatch, port::StoreError>>(
                            [number](Impl& self, Result<port::ChangeBatch, port::StoreError> batch) {
                              self.watched(number, std::move(batch));
                            }));
}

void ManagerCore::Impl::watched(std::uint64_t watch_number, Result<port::ChangeBatch, port::StoreError> batch) {
  if (watch_number != watch_number_) return;  // of a watch given up since
  if (!batch) {
    ++watch_number_;
    load_delay_ms_ = next_delay(load_delay_ms_);
    later(load_delay_ms_, [](Impl& self) { self.load(); });
    return;
  }
  View::Touched touched;
  view_.apply(*batch, touched);
  drop_strangers(touched.records);
  send_changed(touched.records);
  send_reached(touched.assignments);
  view_changed(touched.records);
}

// It should have brought that long ago.
void ManagerCore::Impl::check_watch() {
  if (loaded_ && view_.revision() < std::max(calls_wait_for_, round_waits_for_)) load();
}

void ManagerCore::Impl::view_changed(const View::Ids& records) {
  next_round_.dirty.insert(records.begin(), records.end());
  // Not only now and then: round after round for as long as there are too many, however fast tasks end.
  if (view_.ended_tasks() >= options_.ended_tasks_max + kSlack ||
      view_.keys_by_age().size() >= options_.idempotency_keys_max + kSlack) {
    next_round_.prune = true;
  }
  if (committed_call_ && view_.revision() >= calls_wait_for_) {
    auto answer = fresh_answer(*committed_call_);
    committed_call_.reset();
    finish_call(std::move(answer));
  }
  admit_next();
  schedule_round();
}

void ManagerCore::Impl::commit(const port::Txn& txn, CommitDone done) {
#ifdef GANTRY_BREAK_ACT_BEFORE_COMMIT
  // A defect for the simulator to catch: hosts are told of what may never be committed.
  for (const port::Write& write : txn.writes) {
    v1::Vm vm;
    if (write.key.rfind(model::prefix_of(model::kVm), 0) != 0 || !vm.ParseFromString(write.value)) continue;
    // As it would be read once committed; hosts leave out what is older than what they know.
    vm.mutable_meta()->set_revision(view_.revision() + 1);
    v1::Assignment assignment;
    *assignment.mutable_vm() = vm;
    send(vm.placement().host_id(), {assignment}, false);
  }
#endif
  store_.commit(txn, on_loop<port::CommitResult>(std::move(done)));
}

bool ManagerCore::Impl::is_invalid(const port::CommitResult& result) {
  return result.outcome == port::CommitOutcome::unavailable && result.detail.starts_with("invalid");
}

void ManagerCore::Impl::commit_surely(const std::shared_ptr<const port::Txn>& txn, bool in_doubt, SureDone done) {
  // Each of our transactions compares a key that it writes, so that the same one cannot be committed twice: committing
  // it again settles what became of it. Once in doubt, only a commit or a conflict ends that.
  commit(*txn, [txn, in_doubt, done = std::move(done)](Impl& self, port::CommitResult result) {
    const bool settled =
        result.outcome == port::CommitOutcome::committed || result.outcome == port::CommitOutcome::conflict;
    if (settled || (!in_doubt && result.outcome == port::CommitOutcome::unavailable)) {
      done(self, std::move(result), in_doubt);
      return;
    }
    self.later(kFirstDelayMs, [txn, done](Impl& again) { again.commit_surely(txn, true, done); });
  });
}

}  // namespace gantry::control
