#include "qemu/disk_copy.h"

#include <algorithm>
#include <utility>

namespace gantry::qemu {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kJob = "copy-disk";
constexpr Milliseconds kLookMs = 250;
constexpr Milliseconds kAskAgainMs = 1'000;
// Of kMoveLookSoonMs each: QEMU brings what it tells of a job up to date each 100 ms.
constexpr int kStepLooks = 50;

Error copy_error(std::string cause) {
  return {ErrorCode::unavailable, "the disk could not be copied", std::move(cause),
          "the guest goes on with it where it is; put right what is said and move it again", "copy_failed"};
}

struct Job {
  bool exists = false;
  bool ready = false;
  port::DiskCopyProgress progress;
};

Job find_job(const std::string& answer) {
  const Json jobs = parse_answer(answer);
  for (std::size_t i = 0; jobs.is_array() && i < jobs.size(); ++i) {
    if (text_in(jobs[i], "device") != kJob) continue;
    const std::uint64_t done = number_in(jobs[i], "offset");
    const std::uint64_t all = number_in(jobs[i], "len");
    return {.exists = true,
            .ready = member_of(jobs[i], "ready") == Json(true),
            .progress = {.bytes_done = done, .bytes_left = all - std::min(all, done)}};
  }
  return {};
}

}  // namespace

void DiskCopy::ask(std::string_view command, const std::string& arguments,
                   std::function<void(const std::string&)> then) {
  session_.execute(command, arguments,
                   [self = shared_from_this(), command = std::string(command), arguments,
                    then = std::move(then)](const Result<std::string>& reply) {
                     if (reply) return then(*reply);
                     self->session_.after(kAskAgainMs,
                                          [self, command, arguments, then] { self->ask(command, arguments, then); });
                   });
}

void DiskCopy::step(std::string_view command, const std::string& arguments,
                    std::function<void(const std::string&)> then) {
  session_.execute(command, arguments,
                   [self = shared_from_this(), then = std::move(then)](const Result<std::string>& reply) {
                     if (self->stage_ == Stage::ending) return;
                     if (reply) return then(*reply);
                     self->end(copy_error(reply.error().to_text()));
                   });
}

void DiskCopy::later(Milliseconds delay_ms, void (DiskCopy::*work)()) {
  session_.after(delay_ms, [self = shared_from_this(), work] { (*self.*work)(); });
}

void DiskCopy::note(DiskCopyNote::Phase phase, std::function<void()> then,
                    std::function<void(const Error&)> otherwise) {
  DiskCopyNote next = request_.note;
  next.phase = phase;
  handlers_.keep(next, [self = shared_from_this(), next, then = std::move(then),
                        otherwise = std::move(otherwise)](const Result<void>& kept) {
    if (!kept) return otherwise(kept.error());
    self->request_.note = next;
    then();
  });
}

// ---- copying

void DiskCopy::begin() {
  step("query-block", {}, [this](const std::string& blocks) { found_disk(blocks); });
}

void DiskCopy::found_disk(const std::string& blocks) {
  request_.note.from = node_of_disk(blocks, request_.note.index);
  if (request_.note.from.empty()) return end(copy_error("QEMU does not tell of that disk"));
  note(
      DiskCopyNote::Phase::copying, [this] { add_key(); },
      [this](const Error& why) { end(copy_error(why.to_text())); });
}

void DiskCopy::add_key() {
  if (stage_ == Stage::ending) return;
  if (request_.access.key.empty()) return add_copy();
  const Json secret = {{"qom-type", "secret"},
                       {"id", key_secret(request_.note.to)},
                       {"data", request_.access.key},
                       {"format", "base64"}};
  step("object-add", secret.dump(), [this](const std::string&) { add_copy(); });
}

void DiskCopy::add_copy() {
  const DiskNodes nodes = disk_nodes(request_.note.to, request_.copy, request_.access);
  step("blockdev-add", nodes.file.dump(), [this, format = nodes.format.dump()](const std::string&) {
    step("blockdev-add", format, [this](const std::string&) { start_mirror(); });
  });
}

// Writes of the guest reach both disks at once, so that they are sure to come into step.
void DiskCopy::start_mirror() {
  Json job = {{"job-id", kJob},
              {"device", request_.note.from},
              {"target", request_.note.to},
              {"sync", "full"},
              {"copy-mode", "write-blocking"}};
  if (request_.bytes_per_second_max != 0) job["speed"] = request_.bytes_per_second_max;
  step("blockdev-mirror", job.dump(), [this](const std::string&) {
    stage_ = Stage::copying;
    look_on();
  });
}

void DiskCopy::look_on() {
  if (stage_ != Stage::copying && stage_ != Stage::switching) return;
  look();
  later(kLookMs, &DiskCopy::look_on);
}

void DiskCopy::look() {
  session_.execute("query-block-jobs", {}, [self = shared_from_this()](const Result<std::string>& answer) {
    if (answer) self->took_jobs(*answer);
  });
}

void DiskCopy::took_jobs(const std::string& answer) {
  const Job job = find_job(answer);
  if (stage_ == Stage::switching) {
    if (!job.exists) end(copy_error(trouble_.empty() ? "QEMU did not switch to the copy" : trouble_));
    return;
  }
  if (stage_ != Stage::copying) return;
  if (!job.exists) return end(copy_error(trouble_.empty() ? "its copy ended" : trouble_));
  handlers_.progress(job.progress);
  if (job.ready) hold();
}

void DiskCopy::take_event(const QmpEvent& event) {
  const Json data = parse_answer(event.data);
  if (text_in(data, "device") != kJob) return;
  if (const std::string trouble = text_in(data, "error"); !trouble.empty()) trouble_ = trouble;
  if (stage_ == Stage::copying || stage_ == Stage::switching) look();
}

// ---- the switch

// "stop" holds the guest, brings its writes to an end and flushes all disks; the latter two also when it stands
// already.
void DiskCopy::hold() {
  stage_ = Stage::holding;
  step("query-status", {}, [this](const std::string& answer) {
    holds_ = text_in(parse_answer(answer), "status") == "running";
    step("stop", {}, [this](const std::string&) { await_step(kStepLooks); });
  });
}

// What QEMU told last of the job may be a moment old. A write that did not reach the copy would have ended the job.
void DiskCopy::await_step(int looks_left) {
  step("query-block-jobs", {}, [this, looks_left](const std::string& answer) {
    const Job job = find_job(answer);
    if (!job.ready || looks_left == 0) return end(copy_error(trouble_.empty() ? "its copy ended" : trouble_));
    if (job.progress.bytes_left == 0) {
      step("stop", {}, [this](const std::string&) { intend(); });
    } else {
      session_.after(kMoveLookSoonMs, [self = shared_from_this(), looks_left] { self->await_step(looks_left - 1); });
    }
  });
}

void DiskCopy::intend() {
  note(
      DiskCopyNote::Phase::switching, [this] { switch_over(); },
      [this](const Error& why) { end(copy_error(why.to_text())); });
}

void DiskCopy::switch_over() {
  stage_ = Stage::switching;
  step("block-job-complete", Json{{"device", kJob}}.dump(), [this](const std::string&) { look_on(); });
}

// ---- the end: what QEMU tells then decides how it went

void DiskCopy::settle() { end(copy_error("the agent was ended while it copied the disk")); }

void DiskCopy::cancel() {
  // What follows takes no longer than a cancel would.
  if (stage_ == Stage::holding || stage_ == Stage::switching) return;
  end({ErrorCode::cancelled, "the copy of the disk was cancelled"});
}

void DiskCopy::end(Error why) {
  if (stage_ == Stage::ending) return;
  stage_ = Stage::ending;
  why_ = std::move(why);
  if (request_.note.phase == DiskCopyNote::Phase::none) return answer(fail(why_));
  end_job();
}

void DiskCopy::end_job() {
  ask("query-block-jobs", {}, [this](const std::string& answer) {
    if (!find_job(answer).exists) return see_ended();
    // It may have ended by itself meanwhile.
    session_.execute("block-job-cancel", Json{{"device", kJob}, {"force", true}}.dump(),
                     [](const Result<std::string>&) {});
    later(kMoveLookSoonMs, &DiskCopy::end_job);
  });
}

void DiskCopy::see_ended() {
  ask("query-block", {}, [this](const std::string& blocks) {
    const std::string node = node_of_disk(blocks, request_.note.index);
    if (node.empty()) return later(kAskAgainMs, &DiskCopy::see_ended);
    if (node == request_.note.to) {
      used_copy();
    } else {
      used_old();
    }
  });
}

void DiskCopy::used_copy() {
  release([this] { remove_nodes(request_.note.from, [this] { answer({}); }); });
}

void DiskCopy::used_old() {
  remove_nodes(request_.note.to, [this] { withdraw(); });
}

// The guest is held until that is certain.
void DiskCopy::withdraw() {
  note(
      DiskCopyNote::Phase::none, [this] { release([this] { answer(fail(why_)); }); },
      [this](const Error&) { later(kAskAgainMs, &DiskCopy::withdraw); });
}

void DiskCopy::release(std::function<void()> then) {
  if (!holds_) return then();
  session_.execute("cont", {},
                   [self = shared_from_this(), then = std::move(then)](const Result<std::string>&) { then(); });
}

// What is not there is not missed.
void DiskCopy::remove_nodes(const std::string& node, std::function<void()> then) {
  session_.execute("blockdev-del", Json{{"node-name", node}}.dump(),
                   [self = shared_from_this(), node, then = std::move(then)](const Result<std::string>&) {
                     self->session_.execute("blockdev-del", Json{{"node-name", file_node(node)}}.dump(),
                                            [self, node, then](const Result<std::string>&) {
                                              self->session_.execute(
                                                  "object-del", Json{{"id", key_secret(node)}}.dump(),
                                                  [self, then](const Result<std::string>&) { then(); });
                                            });
                   });
}

void DiskCopy::answer(const Result<void>& result) {
  holds_ = false;
  if (const auto done = std::exchange(handlers_.done, nullptr)) done(result);
}

}  // namespace gantry::qemu
