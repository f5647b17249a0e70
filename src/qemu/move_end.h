// The end of a move at its source, however it went: whatever of it goes on is ended, and what it put into QEMU is taken
// away. Also for what an agent that was killed left half done.
#pragma once

#include <functional>
#include <memory>

#include "qemu/move_session.h"

namespace gantry::qemu {

class MoveEnd : public std::enable_shared_from_this<MoveEnd> {
 public:
  enum class Outcome {
    stays,
    went,  // everything of the guest went to the target, so that it goes on here no more by itself
    lost,  // it stands for good: its connection ended when the target had part of it alone, by postcopy
  };
  // `done`, once. It comes as soon as QEMU has told; while QEMU cannot be reached it is asked again.
  MoveEnd(std::size_t disks, MoveSession session, std::function<void(Outcome outcome)> done)
      : disks_(disks), session_(std::move(session)), done_(std::move(done)) {}
  void begin() { ask_migration(); }

 private:
  void ask(std::string_view command, const std::string& arguments, std::function<void(const std::string&)> then);
  void later(Milliseconds delay_ms, void (MoveEnd::*step)());
  void ask_migration();
  void end_jobs();
  void remove_node(std::size_t index);
  void ask_status();

  std::size_t disks_;
  MoveSession session_;
  std::function<void(Outcome outcome)> done_;
  bool went_ = false;
  // The guest had begun to go by postcopy; how often it was seen since that this is being cancelled.
  bool was_postcopy_ = false;
  int looks_cancelling_ = 0;
};

}  // namespace gantry::qemu
