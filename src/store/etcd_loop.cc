#include "store/etcd_loop.h"

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <utility>

namespace gantry::store {
namespace {

using Done = std::function<void(bool)>;

gpr_timespec from_now(Milliseconds delay_ms) { return gpr_time_from_millis(delay_ms, GPR_TIMESPAN); }

}  // namespace

struct EtcdLoop::Timer {
  grpc::Alarm alarm;
};

EtcdLoop::EtcdLoop(std::function<void()> on_close)
    : on_close_(std::move(on_close)),
      queue_(std::make_unique<grpc::CompletionQueue>()),
      bell_(std::make_unique<Timer>()),
      thread_([this] { run(); }) {}

EtcdLoop::~EtcdLoop() {
  close();
  queue_->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) {
  }
}

void EtcdLoop::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  posted_.push_back(std::move(work));
  if (!bell_rings_) wake();
}

// With the lock held.
void EtcdLoop::wake() {
  bell_rings_ = true;
  // No tag: the bell is nobody's operation.
  bell_->alarm.Set(queue_.get(), gpr_inf_past(GPR_CLOCK_REALTIME), nullptr);
}

void EtcdLoop::close() {
  if (!thread_.joinable()) return;
  post([this] {
    closing_ = true;
    for (const auto& timer : timers_) timer->alarm.Cancel();
    on_close_();
  });
  thread_.join();
}

void* EtcdLoop::begin(Done done) {
  ++under_way_;
  return std::make_unique<Done>(std::move(done)).release();
}

void EtcdLoop::after(Milliseconds delay_ms, std::function<void()> work) {
  if (closing_) return;
  auto timer = std::make_shared<Timer>();
  timers_.insert(timer);
  void* tag = begin([this, timer, work = std::move(work)](bool ok) {
    timers_.erase(timer);
    if (ok && !closing_) work();
  });
  timer->alarm.Set(queue_.get(), from_now(delay_ms), tag);
}

void EtcdLoop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex_);
    bell_rings_ = false;
    work.swap(posted_);
  }
  for (auto& each : work) {
    each();
    each = nullptr;
  }
}

void EtcdLoop::run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) {
    if (tag == nullptr) {
      run_posted();
    } else {
      const std::unique_ptr<Done> done(static_cast<Done*>(tag));
      --under_way_;
      (*done)(ok);
    }
    if (!closing_ || under_way_ != 0) continue;
    const std::lock_guard lock(mutex_);
    if (!bell_rings_) {
      ended_ = true;
      return;
    }
  }
}

}  // namespace gantry::store
