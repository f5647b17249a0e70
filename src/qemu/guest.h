// One guest on this host: its process, its control connection, its record. It lives on the loop; blocking steps go to
// the workers, one at a time. Letting go of it leaves QEMU running for the next agent to find.
#pragma once

#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "port/disk_copy.h"
#include "port/metrics.h"
#include "port/move.h"
#include "qemu/engine.h"
#include "qemu/event_io.h"
#include "qemu/guest_directory.h"
#include "qemu/move_out.h"
#include "qemu/move_session.h"
#include "qemu/one_timer.h"
#include "qemu/qmp_connection.h"

namespace gantry::qemu {

class DiskCopy;
struct DiskAccess;
class GuestAgentPoller;

class Guest : public std::enable_shared_from_this<Guest> {
 public:
  Guest(std::shared_ptr<const Engine> engine, std::string vm_id);
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest();

  // Looks for it and takes up what is there; a start or a reset that was interrupted is finished. Its state was told
  // when `done`, which comes also when it cannot be told yet: that is tried again until it can.
  void find(std::function<void()> done);

  // As in port::Hypervisor.
  void start(const port::GuestDefinition& guest, port::Done done);
  void power_down(port::Done done);
  void kill(port::Done done);
  void pause(port::Done done);
  void resume(port::Done done);
  void reset(const std::string& reset_id, port::Done done);
  void forget(port::Done done);

  // As in port::Mover.
  void receive(const port::GuestDefinition& guest, const std::string& listen_address, const port::MoveTerms& terms,
               port::ListeningDone done);
  void measure(std::function<void(Result<std::uint64_t>)> done);
  void send(const port::MoveRequest& request, std::function<void(const port::MoveProgress&)> progress, port::Done done);
  void stop_sending();
  void take_over(bool runs, port::Done done);

  // As in port::DiskCopier.
  void copy_disk(const port::DiskCopyRequest& request, std::function<void(const port::DiskCopyProgress&)> progress,
                 port::Done done);
  void stop_copying();

  // What it has used; nothing while no process of it is here. A QEMU that does not answer costs a moment, and what it
  // alone can tell. Not answered if it is forgotten meanwhile.
  void count(std::function<void(std::optional<port::GuestCounters>)> done);

  [[nodiscard]] port::GuestObservation observation() const;
  // Nothing of it is on this host.
  [[nodiscard]] bool absent() const { return process_ == Process::none && !record_; }
  // Keeps its logs small.
  void trim_logs();

 private:
  enum class Process {
    none,
    unknown,  // nobody could look: see unknown_
    launching,
    alive,
    ending,  // it is gone, its exit is being recorded
  };
  using Reply = std::function<void(Result<std::string>)>;

  void look();
  void adopt(FoundGuest found);
  // Whoever waits for its state waits no longer.
  void adoption_is_late();
  void took_launched(Result<GuestProcess> launched, const port::GuestDefinition& guest);
  void take_process(UniqueFd pidfd);
  void take_tpm(UniqueFd pidfd);
  void run_processors();
  void processors_run();
  void start_failed(const Error& why);

  void open_qmp(UniqueFd connected);
  void reconnect();
  void ask_status(std::function<void(const std::string& status)> then);
  void take_status(const std::string& status);
  // Finds out why its processors stand, then tells.
  void look_why_held(const std::string& status, std::function<void()> then);
  void take_event(const QmpEvent& event);
  void command(std::string_view name, Reply reply, const std::string& arguments = {});
  // Fails when the guest does not run (paused is fine).
  Result<void> check_runs(const char* wish) const;

  void begin_kill();
  void ask_to_quit();
  void force_end();
  void end_is_late();
  void process_ended();
  // Nothing: it had not begun and may begin anew.
  void exit_settled(std::optional<GuestRecord> record);
  void answer_kills(const Result<void>& answer);

  void begin_reset();
  void continue_reset(const std::string& status);
  void reset_happened();
  void end_reset(const std::string& status);
  // A step of it failed: finds out what QEMU has done and leaves the guest as it was, or finishes.
  void reset_failed(const Error& why);
  void undo_reset(const std::string& status);
  void reset_done(const Result<void>& answer);

  // guest_move.cc
  struct Incoming {
    GuestProcess process;
    std::string secret;
  };
  // guest_meter.cc
  struct Count;
  std::optional<std::uint64_t> take_memory(const std::string& reply);
  void finish_count(const std::shared_ptr<Count>& count);
  // guest_move.cc
  [[nodiscard]] GuestDirectory directory() const;
  [[nodiscard]] MoveSession move_session();
  void wait_for_guest(Result<Incoming> launched, const std::string& listen_address, const port::MoveTerms& terms);
  void listens(const Result<v1::MoveAddress>& address);
  void ask_dirty_rate(std::function<void(Result<std::uint64_t>)> done, int looks_left);
  void begin_move(const port::MoveRequest& request, std::function<void(const port::MoveProgress&)> progress);
  void move_ended(MoveOut::Outcome outcome, const Error& why);
  // Of a guest whose agent was ended while it moved, or after it had.
  void take_moving_status(const std::string& status);
  void take_found_taken_over();
  void take_found_move(const std::string& status, const std::string& migration);
  void look_for_credentials(const std::string& status);
  void end_found_move(bool stands);
  void is_received();
  void take_back(bool runs);
  void end_and_go_on(bool runs);
  void go_on(bool runs);
  void taken_over(bool runs);
  // It was sent, and runs here all the same: somebody let it.
  void went_on();
  void drop_move_key();

  // guest_fetch.cc
  // The guest goes on without all of its memory as soon as it may: looks until it can.
  void await_standing();
  void take_incoming(const std::string& status);
  void begin_fetch();
  void look_fetch();
  // Ends it if QEMU wrote that postcopy broke; else `otherwise`.
  void look_whether_lost(std::function<void()> otherwise);
  // One that hangs on memory that does not come answers nobody, and it is not known yet whether it fetches any.
  static constexpr int kAdoptionLooks = 8;
  void look_after_adoption(int looks);
  void fetch_ended(const std::string& status);
  void is_lost();

  // guest_disk.cc
  void begin_copy(const port::DiskCopyRequest& request, const DiskAccess& access,
                  std::function<void(const port::DiskCopyProgress&)> progress);
  void keep_note(const DiskCopyNote& note, port::Done done);
  void disk_copied(const Result<void>& result);
  // Of a guest whose agent was ended while it copied a disk, or after it had.
  [[nodiscard]] bool has_open_copy() const;
  void settle_copy(const std::string& status);

  void attach_console(UniqueFd connected, std::string replay);
  // Tries to connect until it succeeds or the guest ends, ever less often. `replay` is what the guest said before.
  void find_console(std::string replay, Milliseconds again_ms);
  void watch_agent();
  void save_record(std::function<void(Result<void>)> then);
  // Tries again until it is written; nobody waits for it.
  void keep_record();
  void publish();
  void answer_operation(const Result<void>& answer);
  void answer_adoption();

  // Runs `job` on a worker, after those before it, then `then` here with its answer; drops the answer if this is gone.
  template <class T>
  void on_worker(std::function<T()> job, std::function<void(T)> then) {
    jobs_.push_back([this, job = std::move(job), then = std::move(then)] {
      submit([weak = weak_from_this(), job, then]() -> std::function<void()> {
        const auto answer = std::make_shared<T>(answer_of(job));
        return [weak, answer, then] {
          const auto self = weak.lock();
          if (!self) return;
          then(std::move(*answer));
          self->next_job();
        };
      });
    });
    if (!job_runs_) next_job();
  }
  // Whatever a job throws, its guest gets an answer and goes on.
  template <class T>
  static T answer_of(const std::function<T()>& job) {
    try {
      return job();
    } catch (const std::exception& exception) {
      return fail(ErrorCode::internal, "a step of a virtual machine failed unexpectedly", exception.what());
    }
  }
  void submit(std::function<std::function<void()>()> work);
  void next_job();

  std::shared_ptr<const Engine> engine_;
  std::string vm_id_;
  Process process_ = Process::none;
  Error unknown_;
  std::optional<GuestRecord> record_;
  bool paused_ = false;
  // Why QEMU itself holds its processors.
  v1::Problem held_;
  // How often they were stopped and let run again: tells an answer that comes too late.
  std::uint64_t stops_ = 0;
  // QEMU said that it ends; what its processors do meanwhile means nothing.
  bool shutting_down_ = false;
  std::shared_ptr<UniqueFd> pidfd_;
  std::unique_ptr<ReadableWatch> exit_watch_;
  std::unique_ptr<ReadableWatch> tpm_watch_;
  std::shared_ptr<QmpConnection> qmp_;
  // Asks the guest's agent while it runs.
  std::unique_ptr<GuestAgentPoller> agent_;
  v1::GuestFacts facts_;

  // The start, reset... under way.
  port::Done operation_;
  bool starting_ = false;
  bool resetting_ = false;
  // system_reset was accepted and its RESET event is awaited.
  bool reset_event_due_ = false;
  std::optional<Error> reset_error_;
  std::optional<Error> start_error_;
  std::vector<port::Done> kills_;
  // How it is being ended: that is being written down, `quit` was asked for, or SIGKILL was sent and nothing is left
  // but to wait.
  enum class Ending { no, begun, asked, forced };
  Ending ending_ = Ending::no;
  // Of the step that `ending_` names.
  OneTimer end_timer_;
  OneTimer reset_timer_;
  OneTimer console_timer_;
  OneTimer save_timer_;
  // Of looking for it and of its adoption.
  OneTimer find_timer_;
  std::function<void()> adopted_;
  bool trimming_ = false;

  enum class Moving { no, receiving, received, sending, sent };
  Moving moving_ = Moving::no;
  // See GuestObservation::fetching.
  bool fetching_ = false;
  bool asks_fetch_ = false;
  OneTimer fetch_timer_;
  // Why its process was ended, beside what it said itself.
  std::string last_cause_;
  // The port that it waits, or waited, at for the guest.
  std::uint32_t move_port_ = 0;
  port::ListeningDone listening_;
  std::shared_ptr<MoveOut> move_out_;

  // The threads that are its processors, as it told last.
  std::vector<pid_t> processor_threads_;
  // When it told last what memory it uses.
  std::uint64_t memory_told_unix_ = 0;

  std::shared_ptr<DiskCopy> disk_copy_;
  bool stops_copying_ = false;
  // What the record says of its disk's copy is how it is, not only what was intended.
  bool copy_settled_ = false;

  std::deque<std::function<void()>> jobs_;
  bool job_runs_ = false;
};

}  // namespace gantry::qemu
