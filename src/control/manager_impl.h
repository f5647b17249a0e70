// The inside of ManagerCore. Everything here runs on the executor.
//
// Three flows meet in the view:
// * Calls (manager_calls.cc) are admitted one after another, each from a view that has the one before.
// * Rounds (manager_rounds.cc) take what hosts said and what changed, run the machines and commit; one at a time.
// * The link (manager_link.cc) sends what the view has, that is, only what was committed.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "control/admission.h"
#include "control/machines.h"
#include "control/manager.h"
#include "control/view.h"
#include "gantry/v1/link.pb.h"

namespace gantry::control {

class ManagerCore::Impl : public std::enable_shared_from_this<ManagerCore::Impl> {
 public:
  Impl(port::Store& store, port::ManagerLink& link, port::Executor& executor, ManagerOptions options);

  void start();
  // From any thread.
  void call(const std::string& rpc, const google::protobuf::Message& request, const port::CallOptions& options,
            Answer done);
  [[nodiscard]] bool ready() const { return loaded_; }
  [[nodiscard]] const View& view() const { return view_; }

 private:
  using CommitDone = std::function<void(Impl&, port::CommitResult)>;
  // `was_in_doubt`: an earlier try had an unknown outcome.
  using SureDone = std::function<void(Impl&, port::CommitResult, bool was_in_doubt)>;

  // So small a part of the hosts is sent to at a time.
  static constexpr Milliseconds kResendParts = 100;

  struct Call {
    std::string rpc;
    std::shared_ptr<const google::protobuf::Message> request;
    port::CallOptions options;
    Answer done;
    Milliseconds deadline_ms = 0;
  };

  struct HostNews {
    std::string name;
    std::optional<v1::HostStatus> status;
    v1::ObservationMark mark;
  };

  struct ObservationNews {
    std::string host_id;
    v1::ObservationMark mark;
    v1::Observation observation;
  };

  // What a round was planned from, to plan again when it was not committed.
  struct Round {
    std::map<std::string, HostNews> hosts;
    // "ID HOST".
    std::map<std::string, ObservationNews> observations;
    std::set<std::string> dirty;
    bool prune = false;
    port::Revision planned_at = 0;
    // What did not fit in its transaction.
    std::set<std::string> put_off = {};
  };

  // Wraps work that may come late: it runs on the executor, and only while the core is there.
  template <class Argument>
  auto on_loop(std::function<void(Impl&, Argument)> work);
  void later(Milliseconds delay_ms, std::function<void(Impl&)> work);
  void each(Milliseconds period_ms, void (Impl::*work)());

  // manager_store.cc
  void load();
  void loaded(Result<port::Range, port::StoreError> range);
  void watch();
  void check_watch();
  void watched(std::uint64_t watch_number, Result<port::ChangeBatch, port::StoreError> batch);
  void commit(const port::Txn& txn, CommitDone done);
  // A defect of ours: the same transaction will never be taken.
  static bool is_invalid(const port::CommitResult& result);
  // Tries again until the outcome is not unknown. A conflict after doubt: it is committed already, or never will be.
  void commit_surely(const std::shared_ptr<const port::Txn>& txn, bool in_doubt, SureDone done);
  void view_changed(const View::Ids& records);

  // manager_calls.cc
  void enqueue(Call call);
  void admit_next();
  void commit_call(Admitted admitted);
  void call_committed(const std::shared_ptr<Admitted>& admitted, const port::CommitResult& result, bool was_in_doubt);
  void settle_call(const std::shared_ptr<Admitted>& admitted);
  void retry_call(const std::string& why, Milliseconds delay_ms);
  void expire_calls();
  void finish_call(Result<std::unique_ptr<google::protobuf::Message>> answer);
  std::unique_ptr<google::protobuf::Message> fresh_answer(Admitted& admitted) const;

  // manager_rounds.cc
  void schedule_round();
  void run_round();
  port::Txn plan_round(Round& round);
  void round_committed(const std::shared_ptr<Round>& round, const port::CommitResult& result);
  bool put_off_half(Round& round);
  void take_back(Round& round);
  void maintain();

  // manager_link.cc
  void connection_changed(const std::string& host_id, bool connected);
  void message_came(const v1::FromHost& message);
  // Whether what it says is listened to.
  [[nodiscard]] bool is_known(const std::string& host_id) const;
  void note_connected(const std::string& host_id);
  void take_status(const v1::FromHost& message);
  void take_sample(const std::string& host_id, const v1::Sample& sample);
  void take_observation(const std::string& host_id, const v1::ObservationMark& mark,
                        const v1::Observation& observation);
  // The last round, while it is not known, or not in the view, what became of it.
  [[nodiscard]] const Round* unsettled_round() const;
  // Most say again what is known, of what nothing is to come of any more: that is worth no round.
  [[nodiscard]] bool is_worth_a_round(const v1::FromHost& message) const;
  [[nodiscard]] bool is_worth_a_round(const std::string& key, const ObservationNews& news) const;
  // Those of the hosts that are connected and whose records are gone are cut off.
  void drop_strangers(const View::Ids& host_ids);
  void send_all(const std::string& host_id);
  void send_changed(const View::Ids& ids);
  // What one change makes a difference to may be much, on many hosts: of what changes in a crowd they are told
  // together.
  void send_reached(const View::Ids& ids);
  void resend_some();
  void resend(const std::string& host_id);
  void forget_marks();
  void send(const std::string& host_id, std::vector<v1::Assignment> assignments, bool complete);

  port::Store& store_;
  port::ManagerLink& link_;
  port::Executor& executor_;
  const ManagerOptions options_;
  Rng rng_;

  View view_;
  bool loaded_ = false;
  bool loading_ = false;
  std::unique_ptr<port::Watch> watch_;
  std::uint64_t watch_number_ = 0;
  Milliseconds load_delay_ms_ = 0;

  std::deque<Call> calls_;
  bool call_under_way_ = false;
  // Its transaction is committed: it is answered once the view has that revision.
  std::optional<Admitted> committed_call_;
  port::Revision calls_wait_for_ = 0;
  // The view it was planned from.
  port::Revision call_planned_at_ = 0;

  Round next_round_;
  // What the last round took last.
  std::string last_host_;
  std::string last_observed_;
  std::string last_dirty_;
  // What was said of it last, so that it is said once.
  std::string round_trouble_;
  bool round_scheduled_ = false;
  bool round_under_way_ = false;
  // The last one that had something to write.
  std::shared_ptr<const Round> last_round_;
  port::Revision round_waits_for_ = 0;
  Milliseconds round_delay_ms_ = 0;
  std::map<std::string, Milliseconds> progress_written_ms_;
  std::map<std::string, std::map<std::string, Evacuee>> evacuees_;
  bool may_lose_hosts_ = false;

  std::set<std::string> connected_;
  std::map<std::string, std::uint64_t> sequences_;
  View::Ids reached_;
  bool reached_scheduled_ = false;
  Milliseconds reached_sent_ms_ = 0;
  struct Resends {
    Milliseconds last_ms = 0;
    std::uint64_t count = 0;
  };
  // Of the connected hosts.
  std::map<std::string, Resends> resends_;
  // The last one that was sent to.
  std::string last_resent_;
  struct Newest {
    std::string id;
    v1::ObservationMark mark;
  };
  // The newest mark taken of each record from each host in this run: "ID HOST".
  std::map<std::string, Newest> newest_;
};

template <class Argument>
auto ManagerCore::Impl::on_loop(std::function<void(Impl&, Argument)> work) {
  // The executor outlives the core; the core is only looked up on its own thread, so it never ends on another.
  return [&executor = executor_, weak = weak_from_this(), work = std::move(work)](Argument argument) {
    executor.post([weak, work, taken = std::move(argument)]() mutable {
      if (const auto self = weak.lock()) work(*self, std::move(taken));
    });
  };
}

}  // namespace gantry::control
