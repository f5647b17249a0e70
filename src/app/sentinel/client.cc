#include "app/sentinel/client.h"

#include <utility>

#include "app/sentinel/service.h"
#include "runtime/event_loop.h"
#include "runtime/process.h"
#include "runtime/report.h"
#include "runtime/worker_pool.h"

namespace gantry::sentinel {
namespace {

constexpr Milliseconds kAgainMs = 1'000;
// One that begins has its socket soon, and one that is about to end holds its place a moment longer.
constexpr Milliseconds kAlmostThereMs = 20;
constexpr int kStartsAtOnce = 50;
constexpr Milliseconds kStartTimeoutMs = 30'000;
// It beats every kHeartbeatMs, and one that hangs is replaced before.
constexpr Milliseconds kSilenceMs = 4'000;

}  // namespace

Client::Client(runtime::EventLoop& loop, runtime::WorkerPool& workers, std::string state_directory, std::string program)
    : loop_(loop),
      workers_(workers),
      state_directory_(std::move(state_directory)),
      program_(std::move(program)),
      self_(std::make_shared<Client*>(this)) {}

Client::~Client() {
  if (stream_) stream_->close();
}

void Client::observe(std::function<void(const port::LeaseObservation&)> observer) {
  observer_ = std::move(observer);
  loop_.post(alive([](Client& client) { client.connect(); }));
  listen_for_silence();
}

// What was told before both its processes were stopped may not be true any more: no guest is started on it.
void Client::listen_for_silence() {
  const bool silent = stream_ && loop_.now().monotonic_ms - heard_at_ms_ > kSilenceMs;
  if (silent) {
    stream_->close();
    stream_.reset();
    tell_unreachable("it does not answer");
    connect_after(0);
  }
  loop_.post_after(kAgainMs, alive([](Client& client) { client.listen_for_silence(); }));
}

void Client::want(const port::LeaseWish& wish) {
  auto& last = wishes_[wish.vm_id];
  if (last == wish) return;
  last = wish;
  if (stream_) stream_->send(to_line(Request{Request::Kind::want, wish}));
}

void Client::remove(const port::LeaseWish& wish, std::function<void(Result<void>)> done) {
  wishes_.erase(wish.vm_id);
  removals_[wish.vm_id] = {wish, std::move(done)};
  if (stream_) stream_->send(to_line(Request{Request::Kind::remove, wish}));
}

void Client::connect() {
  auto connected = qemu::connect_unix(socket_path(state_directory_));
  if (!connected) return start_program();
  starts_ = 0;
  lines_ = {};
  heard_at_ms_ = loop_.now().monotonic_ms;
  stream_ = qemu::open_stream(loop_, std::move(*connected),
                              {.on_bytes = alive([](Client& client, std::string_view bytes) {
                                 client.heard_at_ms_ = client.loop_.now().monotonic_ms;
                                 client.why_unreachable_.clear();
                                 const bool sane =
                                     client.lines_.add(bytes, [&client](std::string_view line) { client.take(line); });
                                 if (sane) return;
                                 client.stream_->close();
                                 client.stream_.reset();
                                 client.connect_after(kAgainMs);
                               }),
                               .on_closed = alive([](Client& client) {
                                 client.stream_.reset();
                                 // The other process of the pair takes over, if there is one yet.
                                 client.tell_unreachable("it has just ended");
                                 client.connect_after(0);
                               })});
  for (const auto& [vm_id, wish] : wishes_) stream_->send(to_line(Request{Request::Kind::want, wish}));
  for (const auto& [vm_id, removal] : removals_) {
    stream_->send(to_line(Request{Request::Kind::remove, removal.wish}));
  }
}

void Client::connect_after(Milliseconds delay_ms) {
  loop_.post_after(delay_ms, alive([](Client& client) { client.connect(); }));
}

// It answers when it can be reached, or another one can.
void Client::start_program() {
  ++starts_;
  workers_.submit(
      [&loop = loop_, program = program_, directory = state_directory_,
       then = alive([](Client& client, const Result<runtime::ProcessOutput>& started) { client.started(started); })] {
        runtime::ProcessRequest request;
        request.argv = {program, "--state-dir", directory};
        request.timeout_ms = kStartTimeoutMs;
        const auto started = runtime::run_process(request);
        loop.post([then, started] { then(started); });
      });
}

void Client::started(const Result<runtime::ProcessOutput>& result) {
  const bool waits = result && starts_ < kStartsAtOnce;
  if (!result) {
    Error error = result.error();
    if (error.code == ErrorCode::unsupported) error.next_step = "it comes with gantryd and must lie there";
    tell_unreachable(error.to_text());
  } else if (!waits) {
    tell_unreachable("it is there, but takes no connection at " + socket_path(state_directory_));
  }
  connect_after(waits ? kAlmostThereMs : kAgainMs);
}

void Client::tell_unreachable(const std::string& why) {
  if (why != std::exchange(why_unreachable_, why)) {
    runtime::report_problem("the sentinel, which guards the guests, cannot be reached: " + why);
  }
  for (const auto& [vm_id, wish] : wishes_) {
    port::LeaseObservation seen;
    seen.vm_id = vm_id;
    if (wish.hold) seen.status.set_state(v1::LeaseStatus::WAITING);
    seen.status.set_epoch(wish.epoch);
    seen.status.set_reason("the sentinel cannot be reached: " + why);
    if (wish.hold || wish.incoming) observer_(seen);
  }
}

void Client::take(std::string_view line) {
  const auto answer = parse_answer(line);
  if (!answer) return;
  if (answer->lease && wishes_.contains(answer->lease->vm_id)) observer_(*answer->lease);
  const auto removal = removals_.find(answer->removed_vm_id);
  if (removal == removals_.end()) return;
  const auto done = std::move(removal->second.done);
  removals_.erase(removal);
  if (answer->error) {
    done(fail(*answer->error));
  } else {
    done({});
  }
}

}  // namespace gantry::sentinel
