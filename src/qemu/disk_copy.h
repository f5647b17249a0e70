// A disk of a guest that runs goes to another file: a mirror job of QEMU copies it and brings each write of the guest
// to both; when both are the same the guest is held for a moment, and goes on with the copy. No I/O of its own.
//
// Why nothing is lost. While the guest is held it writes nothing, so both stay the same, and both are on their disks.
// That is written down (`keep`) before QEMU is told to switch, and the guest goes on only when it has switched, or when
// it certainly did not and that is written down. So a guest whose note says `switching` uses the copy, or wrote nothing
// since it was as good: the copy is what counts, whatever ended QEMU or the agent, or cut the power.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "port/disk_copy.h"
#include "qemu/disk_nodes.h"
#include "qemu/guest_record.h"
#include "qemu/move_session.h"

namespace gantry::qemu {

class DiskCopy : public std::enable_shared_from_this<DiskCopy> {
 public:
  struct Request {
    DiskCopyNote note;
    port::GuestDisk copy;
    DiskAccess access = {};
    std::uint64_t bytes_per_second_max = 0;
  };
  struct Handlers {
    // Makes it durable.
    std::function<void(const DiskCopyNote& note, port::Done done)> keep;
    std::function<void(const port::DiskCopyProgress& progress)> progress;
    // Once. As in port::DiskCopier.
    port::Done done;
  };
  DiskCopy(Request request, MoveSession session, Handlers handlers)
      : request_(std::move(request)), session_(std::move(session)), handlers_(std::move(handlers)) {}

  void begin();
  // What an agent before this one left is ended; a switch may have happened. The guest is left as it is, held or not.
  void settle();
  void take_event(const QmpEvent& event);
  void cancel();
  // Whether the guest stands for this.
  [[nodiscard]] bool holds() const { return holds_; }

 private:
  enum class Stage { beginning, copying, holding, switching, ending };
  // A command that must be answered: repeated until it is.
  void ask(std::string_view command, const std::string& arguments, std::function<void(const std::string&)> then);
  // One of the sequence: when it fails the copy does.
  void step(std::string_view command, const std::string& arguments, std::function<void(const std::string&)> then);
  void later(Milliseconds delay_ms, void (DiskCopy::*work)());
  void note(DiskCopyNote::Phase phase, std::function<void()> then, std::function<void(const Error&)> otherwise);

  void found_disk(const std::string& blocks);
  void add_key();
  void add_copy();
  void start_mirror();
  void look();
  void look_on();
  void took_jobs(const std::string& answer);
  void hold();
  void await_step(int looks_left);
  void intend();
  void switch_over();
  void end(Error why);
  void end_job();
  void see_ended();
  void used_copy();
  void used_old();
  void withdraw();
  void release(std::function<void()> then);
  void remove_nodes(const std::string& node, std::function<void()> then);
  void answer(const Result<void>& result);

  Request request_;
  MoveSession session_;
  Handlers handlers_;
  Stage stage_ = Stage::beginning;
  bool holds_ = false;
  // What QEMU said of a job that failed.
  std::string trouble_;
  Error why_;
};

}  // namespace gantry::qemu
