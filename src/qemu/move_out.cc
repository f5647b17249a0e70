#include "qemu/move_out.h"

#include <algorithm>
#include <utility>

#include "qemu/move_end.h"
#include "qemu/move_keys.h"

namespace gantry::qemu {
namespace {

using Json = nlohmann::ordered_json;

constexpr Milliseconds kLookMs = 250;
// So many rounds the guest may outrun the way to the target once auto-converge has slowed it down as far as that goes.
constexpr std::uint64_t kHopelessRounds = 2;
constexpr std::uint64_t kThrottleMost = 99;
// So long nothing may go to the other host, beside the time that the guest may stand: it stands for longer if the way
// breaks just then, and QEMU itself would wait for a quarter of an hour.
constexpr Milliseconds kSilentMs = 10'000;
// QEMU's own is 128 MiB a second.
constexpr std::uint64_t kUnlimited = std::uint64_t{1} << 40U;

Error move_error(std::string cause, std::string reason) {
  return {ErrorCode::unavailable, "the guest could not be moved", std::move(cause),
          "it goes on where it is; put right what is said and move it again", std::move(reason)};
}

// Its disks are to be in step before its memory goes: QEMU waits for the word that they are. Without any it waits for
// nobody, as the agent may be gone by then.
Json capabilities(bool copies_disks) {
  Json list = Json::array();
  const auto add = [&list](const char* name, bool state) { list.push_back({{"capability", name}, {"state", state}}); };
  for (const char* name : {"events", "auto-converge", "return-path"}) add(name, true);
  add("pause-before-switchover", copies_disks);
  return {{"capabilities", list}};
}

std::string host_in_uri(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

}  // namespace

MoveOut::MoveOut(port::MoveRequest request, std::string key_directory, MoveSession session, Handlers handlers)
    : request_(std::move(request)),
      key_directory_(std::move(key_directory)),
      session_(std::move(session)),
      handlers_(std::move(handlers)) {
  for (std::size_t i = 0; request_.target.disk_port() != 0 && i < request_.disks.size(); ++i) {
    if (!request_.disks[i].read_only) copied_.push_back(i);
  }
}

// One command of the sequence: when it fails the move does.
void MoveOut::step(std::string_view command, const std::string& arguments,
                   std::function<void(const std::string&)> then) {
  session_.execute(command, arguments,
                   [self = shared_from_this(), then = std::move(then)](const Result<std::string>& reply) {
                     if (self->stage_ == Stage::ending) return;
                     if (reply) {
                       then(*reply);
                     } else {
                       self->end(move_error(reply.error().to_text(), "move_failed"));
                     }
                   });
}

void MoveOut::begin() {
  step("object-add", tls_object(key_directory_, false), [this](const std::string&) {
    handlers_.secured();
    stage_ = Stage::copying;
    look();
    copy_disk(0);
  });
}

void MoveOut::cancel() { end({ErrorCode::cancelled, "the move was cancelled"}); }

// ---- disks

void MoveOut::copy_disk(std::size_t position) {
  if (position == copied_.size()) {
    if (in_step_.size() == copied_.size()) prepare_memory();
    return;
  }
  const Json node = {
      {"driver", "nbd"},
      {"node-name", move_job(copied_[position])},
      {"server",
       {{"type", "inet"}, {"host", request_.target.host()}, {"port", std::to_string(request_.target.disk_port())}}},
      {"export", move_job(copied_[position])},
      {"tls-creds", kMoveCredentials},
      {"discard", "unmap"},
      {"detect-zeroes", "unmap"}};
  step("blockdev-add", node.dump(), [this, position](const std::string&) { start_mirror(position); });
}

// Writes of the guest reach both disks at once, so that they are sure to come into step.
void MoveOut::start_mirror(std::size_t position) {
  const std::size_t disk = copied_[position];
  Json job = {{"job-id", move_job(disk)},
              {"device", "disk" + std::to_string(disk)},
              {"target", move_job(disk)},
              {"sync", "full"},
              {"copy-mode", "write-blocking"}};
  if (request_.bytes_per_second_max != 0) job["speed"] = request_.bytes_per_second_max;
  step("blockdev-mirror", job.dump(), [this, position](const std::string&) { copy_disk(position + 1); });
}

void MoveOut::job_event(const QmpEvent& event) {
  const Json data = parse_answer(event.data);
  const std::string job = text_in(data, "device");
  if (!is_move_job(job)) return;
  if (event.name == "BLOCK_JOB_READY") {
    in_step_.insert(job);
    if (stage_ == Stage::copying && in_step_.size() == copied_.size()) prepare_memory();
    return;
  }
  const std::string trouble = text_in(data, "error");
  if (stage_ == Stage::switching && event.name == "BLOCK_JOB_COMPLETED" && trouble.empty()) {
    ended_.insert(job);
    if (ended_.size() == copied_.size()) switch_over();
    return;
  }
  end(move_error("a disk could not be copied: " + (trouble.empty() ? "its copy ended" : trouble), "copy_failed"));
}

// ---- memory

void MoveOut::prepare_memory() {
  stage_ = Stage::sending;
  step("migrate-set-capabilities", capabilities(!copied_.empty()).dump(), [this](const std::string&) {
    const std::uint64_t limit = request_.bytes_per_second_max == 0 ? kUnlimited : request_.bytes_per_second_max;
    const Json parameters = {
        {"max-bandwidth", limit}, {"downtime-limit", request_.downtime_max_ms}, {"tls-creds", kMoveCredentials}};
    step("migrate-set-parameters", parameters.dump(), [this](const std::string&) { send_memory(); });
  });
}

void MoveOut::send_memory() {
  const std::string uri = "tcp:" + host_in_uri(request_.target.host()) + ":" + std::to_string(request_.target.port());
  step("migrate", Json{{"uri", uri}}.dump(), [](const std::string&) {});
}

void MoveOut::look() {
  if (stage_ == Stage::ending) return;
  if (++looks_in_vain_ * kLookMs > request_.downtime_max_ms + kSilentMs) {
    session_.break_connections(request_.target);
    return end(move_error("the other host does not answer", "move_failed"));
  }
  if (stage_ == Stage::copying) {
    step("query-block-jobs", {}, [this](const std::string& answer) { took_jobs(answer); });
  } else {
    step("query-migrate", {}, [this](const std::string& answer) { took_migration(answer); });
  }
  session_.after(kLookMs, [self = shared_from_this()] { self->look(); });
}

void MoveOut::took_jobs(const std::string& answer) {
  progress_.phase = "copying disks";
  looks_in_vain_ = 0;
  std::uint64_t done = 0;
  std::uint64_t all = 0;
  const Json jobs = parse_answer(answer);
  for (std::size_t i = 0; jobs.is_array() && i < jobs.size(); ++i) {
    if (!is_move_job(text_in(jobs[i], "device"))) continue;
    done += number_in(jobs[i], "offset");
    all += number_in(jobs[i], "len");
  }
  progress_.bytes_sent = done;
  progress_.bytes_left = all - std::min(all, done);
  progress_.percent = all == 0 ? 0 : static_cast<std::uint32_t>(std::min<std::uint64_t>(100, done * 100 / all));
  handlers_.progress(progress_);
}

void MoveOut::took_migration(const std::string& answer) {
  const Json migration = parse_answer(answer);
  const std::string status = text_in(migration, "status");
  if (status == "failed") {
    const std::string cause = text_in(migration, "error-desc");
    end(move_error(cause.empty() ? "the target ended the connection" : cause, "move_failed"));
    return;
  }
  const Json& memory = member_of(migration, "ram");
  const std::uint64_t all = number_in(memory, "total");
  progress_.phase = "copying memory";
  const std::uint64_t sent = number_in(memory, "transferred");
  if (sent != progress_.bytes_sent) looks_in_vain_ = 0;
  progress_.bytes_sent = sent;
  progress_.bytes_left = number_in(memory, "remaining");
  progress_.dirty_bytes_per_second = number_in(memory, "dirty-pages-rate") * number_in(memory, "page-size");
  const std::uint64_t there = all - std::min(all, progress_.bytes_left);
  progress_.percent = all == 0 ? 0 : static_cast<std::uint32_t>(there * 100 / all);
  progress_.downtime_ms = static_cast<Milliseconds>(number_in(migration, "downtime"));
  progress_.total_ms = static_cast<Milliseconds>(number_in(migration, "total-time"));
  handlers_.progress(progress_);
  const bool slowed = number_in(migration, "cpu-throttle-percentage") >= kThrottleMost;
  const std::uint64_t round = number_in(memory, "dirty-sync-count");
  if (!slowed || stage_ != Stage::sending) slowest_since_round_.reset();
  if (slowed && !slowest_since_round_) slowest_since_round_ = round;
  if (!slowest_since_round_ || round < *slowest_since_round_ + kHopelessRounds) return;
  end(move_error("it changes its memory faster than it can be sent, though it was slowed down as far as that goes",
                 "not_converging"));
}

// ---- the switch

void MoveOut::take_event(const QmpEvent& event) {
  if (stage_ == Stage::ending) return;
  if (event.name == "BLOCK_JOB_READY" || event.name == "BLOCK_JOB_COMPLETED" || event.name == "BLOCK_JOB_CANCELLED") {
    job_event(event);
  } else if (event.name == "MIGRATION") {
    const std::string status = text_in(parse_answer(event.data), "status");
    if (status == "pre-switchover") {
      stage_ = Stage::switching;
      end_mirror(0);
    }
    if (status == "completed") end(move_error("QEMU tells of it now one way, now another", "move_failed"));
    // Why is in what query-migrate tells.
    if (status == "failed") {
      step("query-migrate", {}, [this](const std::string& answer) { took_migration(answer); });
    }
  }
}

// Both disks are the same when it has ended: nothing writes any more.
void MoveOut::end_mirror(std::size_t position) {
  if (position == copied_.size()) return;
  const Json job = {{"device", move_job(copied_[position])}, {"force", false}};
  step("block-job-cancel", job.dump(), [this, position](const std::string&) { end_mirror(position + 1); });
}

void MoveOut::switch_over() {
  step("migrate-continue", Json{{"state", "pre-switchover"}}.dump(), [](const std::string&) {});
}

// However it went: what QEMU tells at the end decides.
void MoveOut::end(Error why) {
  if (stage_ == Stage::ending) return;
  stage_ = Stage::ending;
  why_ = std::move(why);
  const auto end = std::make_shared<MoveEnd>(request_.disks.size(), session_, [self = shared_from_this()](bool went) {
    if (went) {
      // Only now it knows how long it all took.
      self->session_.execute("query-migrate", {}, [self](const Result<std::string>& answer) {
        if (answer) self->took_migration(*answer);
        self->handlers_.done({});
      });
    } else {
      self->handlers_.done(fail(self->why_));
    }
  });
  end->begin();
}

}  // namespace gantry::qemu
