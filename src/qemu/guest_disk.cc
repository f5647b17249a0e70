// The part of Guest that copies disks.
#include <utility>

#include "qemu/disk_copy.h"
#include "qemu/disk_nodes.h"
#include "qemu/guest.h"

namespace gantry::qemu {

void Guest::copy_disk(const port::DiskCopyRequest& request, std::function<void(const port::DiskCopyProgress&)> progress,
                      port::Done done) {
  if (auto runs = check_runs("copy a disk of"); !runs) {
    done(runs);
    return;
  }
  if (disk_copy_ || has_open_copy()) {
    done(fail(ErrorCode::conflict, "cannot copy a disk of virtual machine " + vm_id_, "one of it is being copied",
              "try again when that is over", "copying"));
    return;
  }
  operation_ = std::move(done);
  stops_copying_ = false;
  on_worker<Result<DiskAccess>>([copy = request.copy] { return find_access(copy); },
                                [this, request, progress = std::move(progress)](const Result<DiskAccess>& access) {
                                  if (process_ != Process::alive) return;
                                  if (!access) return answer_operation(fail(access.error()));
                                  begin_copy(request, *access, progress);
                                });
}

void Guest::begin_copy(const port::DiskCopyRequest& request, const DiskAccess& access,
                       std::function<void(const port::DiskCopyProgress&)> progress) {
  if (std::exchange(stops_copying_, false)) {
    answer_operation(fail(ErrorCode::cancelled, "the copy of the disk was cancelled"));
    return;
  }
  const auto weak = weak_from_this();
  DiskCopy::Handlers handlers;
  handlers.keep = [weak](const DiskCopyNote& note, port::Done done) {
    if (const auto self = weak.lock()) self->keep_note(note, std::move(done));
  };
  handlers.progress = std::move(progress);
  handlers.done = [weak](const Result<void>& result) {
    if (const auto self = weak.lock()) self->disk_copied(result);
  };
  // The copy was no disk of this guest before: no node has its id for a name.
  DiskCopy::Request copy{.note = {.id = request.id, .index = request.index, .to = request.copy.volume_id},
                         .copy = request.copy,
                         .access = access,
                         .bytes_per_second_max = request.bytes_per_second_max};
  disk_copy_ = std::make_shared<DiskCopy>(std::move(copy), move_session(), std::move(handlers));
  disk_copy_->begin();
}

void Guest::stop_copying() {
  stops_copying_ = true;
  if (disk_copy_) disk_copy_->cancel();
}

void Guest::keep_note(const DiskCopyNote& note, port::Done done) {
  copy_settled_ = false;
  DiskCopyNote before = std::exchange(record_->disk_copy, note);
  save_record([this, before = std::move(before), done = std::move(done)](const Result<void>& saved) {
    if (process_ != Process::alive) return;
    if (!saved) record_->disk_copy = before;
    done(saved);
  });
}

void Guest::disk_copied(const Result<void>& result) {
  disk_copy_.reset();
  copy_settled_ = true;
  publish();
  ask_status([this, stops = ++stops_](const std::string& status) {
    if (stops == stops_) look_why_held(status, [] {});
  });
  answer_operation(result);
}

bool Guest::has_open_copy() const { return record_->disk_copy.phase != DiskCopyNote::Phase::none && !copy_settled_; }

void Guest::settle_copy(const std::string& status) {
  const auto weak = weak_from_this();
  DiskCopy::Handlers handlers;
  handlers.keep = [weak](const DiskCopyNote& note, port::Done done) {
    if (const auto self = weak.lock()) self->keep_note(note, std::move(done));
  };
  handlers.done = [weak, status](const Result<void>&) {
    const auto self = weak.lock();
    if (!self) return;
    self->disk_copy_.reset();
    self->copy_settled_ = true;
    self->take_status(status);
  };
  disk_copy_ = std::make_shared<DiskCopy>(DiskCopy::Request{.note = record_->disk_copy, .copy = {}}, move_session(),
                                          std::move(handlers));
  disk_copy_->settle();
}

}  // namespace gantry::qemu
