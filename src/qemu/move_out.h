// The source's side of a move: a guest's memory, and where the disks are not shared their content, go to a QEMU on
// another host that waits for them (move_in.h). No I/O of its own.
//
// Each disk is mirrored onto the target's NBD export until both are in step, then the memory is sent; at
// "pre-switchover" the guest stands, the mirrors are ended, and the rest is sent (QEMU's qapi/block-core.json and
// qapi/migration.json, docs/interop/live-block-operations.rst).
//
// By postcopy the rest is not all: of memory, the guest's processors and devices alone go while it stands, and the
// target fetches what it misses from QEMU here. From that moment on QEMU 7.2 cannot let the guest go on here any more
// if the connection ends: "postcopy-paused" has no way back (docs/devel/migration.rst).
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "port/move.h"
#include "qemu/move_session.h"

namespace gantry::qemu {

class MoveOut : public std::enable_shared_from_this<MoveOut> {
 public:
  enum class Outcome {
    stays,    // it goes on here as before
    sent,     // everything of it is with the target, and it goes on nowhere by itself
    fetched,  // as `sent`, but the target still fetches memory from here
    lost,     // it stands here for good, and the target has not all of it
  };
  // `secured`: QEMU has read its key. `done`, once; `why` is of those that were not sent.
  struct Handlers {
    std::function<void()> secured;
    std::function<void(const port::MoveProgress& progress)> progress;
    std::function<void(Outcome outcome, const Error& why)> done;
  };
  // `in_one_round`: all memory goes once, and what the guest changed meanwhile when it stands, however much that is.
  // With postcopy it goes at once: QEMU looks for what was changed once, when it stands, in both.
  MoveOut(port::MoveRequest request, std::string key_directory, bool in_one_round, MoveSession session,
          Handlers handlers);

  void begin();
  void take_event(const QmpEvent& event);
  // The guest goes on here, unless everything went already.
  void cancel();

 private:
  enum class Stage { begun, copying, sending, switching, ending };

  void step(std::string_view command, const std::string& arguments, std::function<void(const std::string&)> then);
  void find_disks();
  void copy_disk(std::size_t position);
  void start_mirror(std::size_t position);
  void job_event(const QmpEvent& event);
  void prepare_memory();
  void send_memory();
  void look();
  void ask_migration();
  void took_migration(const std::string& answer);
  void took_jobs(const std::string& answer);
  void note_memory(const nlohmann::ordered_json& migration);
  void give_up_if_hopeless(const nlohmann::ordered_json& migration);
  void await_standing();
  [[nodiscard]] bool is_outrun(std::uint64_t round);
  void switch_to_postcopy();
  void finish(Outcome outcome);
  void end_mirror(std::size_t position);
  void switch_over();
  void end(Error why);

  port::MoveRequest request_;
  std::string key_directory_;
  bool in_one_round_;
  MoveSession session_;
  Handlers handlers_;
  Stage stage_ = Stage::begun;
  // What QEMU has for its disks, as "query-block" told it.
  std::string blocks_;
  std::set<std::string> in_step_;
  std::set<std::string> ended_;
  port::MoveProgress progress_;
  // The guest is slowed down as far as that goes.
  std::optional<std::uint64_t> slowest_since_round_;
  // What was to be sent at the beginning of the round before, and the number of this one.
  std::uint64_t left_before_ = 0;
  std::uint64_t round_ = 1;
  bool asked_postcopy_ = false;
  Milliseconds switched_at_ms_ = 0;
  // How often in a row nothing had gone since.
  int looks_in_vain_ = 0;
  // How often it was looked at while disks were copied.
  int looks_copying_ = 0;
  Error why_;
};

}  // namespace gantry::qemu
