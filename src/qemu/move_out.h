// The source's side of a move: a guest's memory, and where the disks are not shared their content, go to a QEMU on
// another host that waits for them (move_in.h). No I/O of its own.
//
// Each disk is mirrored onto the target's NBD export until both are in step, then the memory is sent; at
// "pre-switchover" the guest stands, the mirrors are ended, and the rest is sent (QEMU's qapi/block-core.json and
// qapi/migration.json, docs/interop/live-block-operations.rst).
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
  // `secured`: QEMU has read its key. `done`, once: everything of the guest is with the target and it goes on nowhere
  // by itself; or it goes on here as before, and why.
  struct Handlers {
    std::function<void()> secured;
    std::function<void(const port::MoveProgress& progress)> progress;
    port::Done done;
  };
  MoveOut(port::MoveRequest request, std::string key_directory, MoveSession session, Handlers handlers);

  void begin();
  void take_event(const QmpEvent& event);
  // The guest goes on here, unless everything went already.
  void cancel();

 private:
  enum class Stage { begun, copying, sending, switching, ending };

  void step(std::string_view command, const std::string& arguments, std::function<void(const std::string&)> then);
  void copy_disk(std::size_t position);
  void start_mirror(std::size_t position);
  void job_event(const QmpEvent& event);
  void prepare_memory();
  void send_memory();
  void look();
  void took_migration(const std::string& answer);
  void took_jobs(const std::string& answer);
  void end_mirror(std::size_t position);
  void switch_over();
  void end(Error why);

  port::MoveRequest request_;
  std::string key_directory_;
  MoveSession session_;
  Handlers handlers_;
  // Indices of the disks that are copied.
  std::vector<std::size_t> copied_;
  Stage stage_ = Stage::begun;
  std::set<std::string> in_step_;
  std::set<std::string> ended_;
  port::MoveProgress progress_;
  // The guest is slowed down as far as that goes.
  std::optional<std::uint64_t> slowest_since_round_;
  // How often in a row nothing had gone since.
  int looks_in_vain_ = 0;
  Error why_;
};

}  // namespace gantry::qemu
