#include "qemu/move_out.h"

#include <algorithm>
#include <utility>

#include "qemu/disk_nodes.h"
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
Json capabilities(const port::MoveRequest& request) {
  Json list = Json::array();
  const auto add = [&list](const char* name, bool state) { list.push_back({{"capability", name}, {"state", state}}); };
  for (const char* name : {"events", "return-path"}) add(name, true);
  add("auto-converge", !request.postcopy);
  add("pause-before-switchover", !request.copied_disks.empty());
  add("multifd", request.connections > 1);
  add("postcopy-ram", request.postcopy);
  return {{"capabilities", list}};
}

std::string host_in_uri(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

}  // namespace

MoveOut::MoveOut(port::MoveRequest request, std::string key_directory, bool in_one_round, MoveSession session,
                 Handlers handlers)
    : request_(std::move(request)),
      key_directory_(std::move(key_directory)),
      in_one_round_(in_one_round),
      session_(std::move(session)),
      handlers_(std::move(handlers)) {}

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
  // Without their content it must not go.
  if (!request_.copied_disks.empty() && request_.target.disk_port() == 0) {
    return end(move_error("the other host takes no disks", "copy_failed"));
  }
  step("object-add", tls_object(key_directory_, false), [this](const std::string&) {
    handlers_.secured();
    stage_ = Stage::copying;
    look();
    find_disks();
  });
}

void MoveOut::cancel() { end({ErrorCode::cancelled, "the move was cancelled"}); }

// ---- disks

// One that was moved to another pool has another node than it was started with.
void MoveOut::find_disks() {
  if (request_.copied_disks.empty()) return prepare_memory();
  step("query-block", {}, [this](const std::string& blocks) {
    blocks_ = blocks;
    copy_disk(0);
  });
}

void MoveOut::copy_disk(std::size_t position) {
  if (position == request_.copied_disks.size()) {
    if (in_step_.size() == request_.copied_disks.size()) prepare_memory();
    return;
  }
  const Json node = {
      {"driver", "nbd"},
      {"node-name", move_job(request_.copied_disks[position])},
      {"server",
       {{"type", "inet"}, {"host", request_.target.host()}, {"port", std::to_string(request_.target.disk_port())}}},
      {"export", move_job(request_.copied_disks[position])},
      {"tls-creds", kMoveCredentials},
      {"discard", "unmap"},
      {"detect-zeroes", "unmap"}};
  step("blockdev-add", node.dump(), [this, position](const std::string&) { start_mirror(position); });
}

// Writes of the guest reach both disks at once, so that they are sure to come into step.
void MoveOut::start_mirror(std::size_t position) {
  const std::size_t disk = request_.copied_disks[position];
  const std::string node = node_of_disk(blocks_, disk);
  if (node.empty()) return end(move_error("QEMU does not tell of disk " + std::to_string(disk), "copy_failed"));
  Json job = {{"job-id", move_job(disk)},
              {"device", node},
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
    if (stage_ == Stage::copying && in_step_.size() == request_.copied_disks.size()) prepare_memory();
    return;
  }
  const std::string trouble = text_in(data, "error");
  if (stage_ == Stage::switching && event.name == "BLOCK_JOB_COMPLETED" && trouble.empty()) {
    ended_.insert(job);
    if (ended_.size() == request_.copied_disks.size()) switch_over();
    return;
  }
  end(move_error("a disk could not be copied: " + (trouble.empty() ? "its copy ended" : trouble), "copy_failed"));
}

// ---- memory

void MoveOut::prepare_memory() {
  stage_ = Stage::sending;
  step("migrate-set-capabilities", capabilities(request_).dump(), [this](const std::string&) {
    const std::uint64_t limit = request_.bytes_per_second_max == 0 ? kUnlimited : request_.bytes_per_second_max;
    // QEMU looks for changes once more as soon as what is left fits into that time.
    const Json parameters = {{"max-bandwidth", limit},
                             {"max-postcopy-bandwidth", request_.bytes_per_second_max},
                             {"downtime-limit", in_one_round_ ? 0 : request_.downtime_max_ms},
                             {"multifd-channels", request_.connections},
                             {"tls-creds", kMoveCredentials}};
    step("migrate-set-parameters", parameters.dump(), [this](const std::string&) { send_memory(); });
  });
}

void MoveOut::send_memory() {
  const std::string uri = "tcp:" + host_in_uri(request_.target.host()) + ":" + std::to_string(request_.target.port());
  step("migrate", Json{{"uri", uri}}.dump(), [this](const std::string&) {
    // When the one round would end cannot be foreseen, as pages of zeroes go at once.
    if (request_.postcopy && in_one_round_) switch_to_postcopy();
  });
}

void MoveOut::look() {
  if (stage_ == Stage::ending) return;
  if (++looks_in_vain_ * kLookMs > request_.downtime_max_ms + kSilentMs) {
    session_.break_connections(request_.target);
    return end(move_error("the other host does not answer", "move_failed"));
  }
  if (stage_ == Stage::copying) {
    if (!request_.copied_disks.empty()) ++looks_copying_;
    step("query-block-jobs", {}, [this](const std::string& answer) { took_jobs(answer); });
  } else {
    ask_migration();
  }
  session_.after(kLookMs, [self = shared_from_this()] { self->look(); });
}

void MoveOut::ask_migration() {
  step("query-migrate", {}, [this](const std::string& answer) { took_migration(answer); });
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
  if (is_postcopy_broken(status)) {
    why_ = move_error("the connection to the other host ended in the moment that the guest went over", "move_failed");
    return finish(Outcome::lost);
  }
  note_memory(migration);
  handlers_.progress(progress_);
  if (status == "postcopy-active") return await_standing();
  if (stage_ != Stage::sending) return;
  if (!request_.postcopy) return give_up_if_hopeless(migration);
  if (status == "active" && is_outrun(number_in(member_of(migration, "ram"), "dirty-sync-count"))) switch_to_postcopy();
}

// QEMU answers only before the guest stands, or when its processors and devices have gone.
void MoveOut::await_standing() {
  step("query-status", {}, [this](const std::string& answer) {
    if (text_in(parse_answer(answer), "status") == "running") {
      session_.after(kMoveLookSoonMs, [self = shared_from_this()] { self->ask_migration(); });
      return;
    }
    // QEMU itself tells it in the end only.
    progress_.downtime_ms = session_.now_ms() - switched_at_ms_;
    handlers_.progress(progress_);
    finish(Outcome::fetched);
  });
}

void MoveOut::note_memory(const Json& migration) {
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
  progress_.total_ms = static_cast<Milliseconds>(number_in(migration, "total-time")) + looks_copying_ * kLookMs;
  if (left_before_ == 0) left_before_ = all;
}

void MoveOut::give_up_if_hopeless(const Json& migration) {
  const bool slowed = number_in(migration, "cpu-throttle-percentage") >= kThrottleMost;
  const std::uint64_t round = number_in(member_of(migration, "ram"), "dirty-sync-count");
  if (!slowed) slowest_since_round_.reset();
  if (slowed && !slowest_since_round_) slowest_since_round_ = round;
  if (!slowest_since_round_ || round < *slowest_since_round_ + kHopelessRounds) return;
  end(move_error("it changes its memory faster than it can be sent, though it was slowed down as far as that goes",
                 "not_converging"));
}

// Each round is to leave half as much as the one before at most: then few are needed until what is left fits into the
// time that the guest may stand.
bool MoveOut::is_outrun(std::uint64_t round) {
  if (round <= std::exchange(round_, std::max(round, round_))) return false;
  const std::uint64_t left = progress_.bytes_left;
  return 2 * left > std::exchange(left_before_, left);
}

void MoveOut::switch_to_postcopy() {
  if (std::exchange(asked_postcopy_, true)) return;
  switched_at_ms_ = session_.now_ms();
  step("migrate-start-postcopy", {}, [](const std::string&) {});
}

// ---- the switch

void MoveOut::take_event(const QmpEvent& event) {
  if (stage_ == Stage::ending) return;
  if (event.name == "BLOCK_JOB_READY" || event.name == "BLOCK_JOB_COMPLETED" || event.name == "BLOCK_JOB_CANCELLED") {
    job_event(event);
  } else if (event.name == "MIGRATION_PASS") {
    if (request_.postcopy) ask_migration();
  } else if (event.name == "MIGRATION") {
    const std::string status = text_in(parse_answer(event.data), "status");
    if (status == "pre-switchover") {
      stage_ = Stage::switching;
      end_mirror(0);
    }
    if (status == "completed") end(move_error("QEMU tells of it now one way, now another", "move_failed"));
    // Why, and how far it is, is in what query-migrate tells.
    if (status == "failed" || status == "postcopy-active" || is_postcopy_broken(status)) ask_migration();
  }
}

// Both disks are the same when it has ended: nothing writes any more.
void MoveOut::end_mirror(std::size_t position) {
  if (position == request_.copied_disks.size()) return;
  const Json job = {{"device", move_job(request_.copied_disks[position])}, {"force", false}};
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
  const auto& copied = request_.copied_disks;
  const std::size_t disks = copied.empty() ? 0 : *std::ranges::max_element(copied) + 1;
  const auto end = std::make_shared<MoveEnd>(disks, session_, [self = shared_from_this()](MoveEnd::Outcome outcome) {
    if (outcome != MoveEnd::Outcome::went) {
      self->finish(outcome == MoveEnd::Outcome::lost ? Outcome::lost : Outcome::stays);
      return;
    }
    // Only now it knows how long it all took.
    self->session_.execute("query-migrate", {}, [self](const Result<std::string>& answer) {
      if (answer) self->note_memory(parse_answer(*answer));
      self->handlers_.progress(self->progress_);
      self->finish(Outcome::sent);
    });
  });
  end->begin();
}

void MoveOut::finish(Outcome outcome) {
  stage_ = Stage::ending;
  if (auto done = std::exchange(handlers_.done, nullptr)) done(outcome, why_);
}

}  // namespace gantry::qemu
