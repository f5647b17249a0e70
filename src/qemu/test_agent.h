// For tests and benchmarks: all that runs guests in one process, and calls that wait for their answers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "qemu/cgroup.h"
#include "qemu/console_hub.h"
#include "qemu/hypervisor.h"
#include "runtime/event_loop.h"
#include "runtime/worker_pool.h"

namespace gantry::qemu {

inline constexpr auto kGenerous = std::chrono::seconds(60);

// One life of the agent: loop, workers, hypervisor. Its end is as abrupt as a killed daemon's, but for the threads.
class Agent {
 public:
  explicit Agent(const std::string& state_directory, const std::string& emulator = "/usr/bin/qemu-system-x86_64",
                 Milliseconds adoption_timeout_ms = 30'000)
      : consoles_(loop_), workers_(2) {
    EngineOptions options;
    options.state_directory = state_directory;
    options.emulator = emulator;
    options.adoption_timeout_ms = adoption_timeout_ms;
    hypervisor_ = std::make_unique<QemuHypervisor>(loop_, workers_, cgroups_, consoles_, options);
    thread_ = std::thread([this] { loop_.run(); });
    std::promise<void> complete;
    loop_.post([&] {
      hypervisor_->observe([this](const port::GuestObservation& seen) { take(seen); }, [&] { complete.set_value(); });
    });
    if (complete.get_future().wait_for(kGenerous) != std::future_status::ready) std::abort();
  }
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent() {
    loop_.stop();
    thread_.join();
  }

  // Any call of the hypervisor, and its answer.
  template <class Call>
  Result<void> call(Call make) {
    auto answer = std::make_shared<std::promise<Result<void>>>();
    loop_.post(
        [this, make, answer] { make(*hypervisor_, [answer](const Result<void>& done) { answer->set_value(done); }); });
    auto future = answer->get_future();
    if (future.wait_for(kGenerous) != std::future_status::ready) return fail(ErrorCode::timed_out, "no answer");
    return future.get();
  }
  Result<v1::MoveAddress> receive(const port::GuestDefinition& guest, const std::vector<std::size_t>& copied_disks) {
    return receive_by(guest, {.copied_disks = copied_disks});
  }
  Result<v1::MoveAddress> receive_by(const port::GuestDefinition& guest, const port::MoveTerms& terms) {
    auto answer = std::make_shared<std::promise<Result<v1::MoveAddress>>>();
    loop_.post([this, guest, terms, answer] {
      hypervisor_->receive(guest, "127.0.0.1", terms,
                           [answer](const Result<v1::MoveAddress>& address) { answer->set_value(address); });
    });
    auto future = answer->get_future();
    if (future.wait_for(kGenerous) != std::future_status::ready) return fail(ErrorCode::timed_out, "no answer");
    return future.get();
  }
  port::Counters counters() {
    auto answer = std::make_shared<std::promise<port::Counters>>();
    loop_.post([this, answer] {
      hypervisor_->read([answer](port::Counters counters) { answer->set_value(std::move(counters)); });
    });
    auto future = answer->get_future();
    if (future.wait_for(kGenerous) != std::future_status::ready) return {};
    return future.get();
  }
  Result<void> take_over(const std::string& vm_id, bool runs) {
    return call([=](port::Mover& mover, const port::Done& done) { mover.take_over(vm_id, runs, done); });
  }
  Result<void> start(const port::GuestDefinition& guest) {
    return call([guest](port::Hypervisor& hypervisor, const port::Done& done) { hypervisor.start(guest, done); });
  }
  Result<void> kill(const std::string& vm_id) {
    return call([vm_id](port::Hypervisor& hypervisor, const port::Done& done) { hypervisor.kill(vm_id, done); });
  }
  Result<void> reset(const std::string& vm_id, const std::string& reset_id) {
    return call([=](port::Hypervisor& hypervisor, const port::Done& done) { hypervisor.reset(vm_id, reset_id, done); });
  }
  Result<void> pause(const std::string& vm_id) {
    return call([vm_id](port::Hypervisor& hypervisor, const port::Done& done) { hypervisor.pause(vm_id, done); });
  }
  Result<void> resume(const std::string& vm_id) {
    return call([vm_id](port::Hypervisor& hypervisor, const port::Done& done) { hypervisor.resume(vm_id, done); });
  }

  port::GuestObservation last(const std::string& vm_id) {
    const std::lock_guard lock(mutex_);
    return seen_[vm_id];
  }
  bool reaches(const std::string& vm_id, port::GuestObservation::State state) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kGenerous, [&] { return seen_[vm_id].state == state; });
  }

  ConsoleHub& consoles() { return consoles_; }
  // On the loop's thread only.
  QemuHypervisor& hypervisor() { return *hypervisor_; }
  runtime::EventLoop& loop() { return loop_; }

 private:
  void take(const port::GuestObservation& seen) {
    const std::lock_guard lock(mutex_);
    seen_[seen.vm_id] = seen;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, port::GuestObservation> seen_;
  Cgroups cgroups_ = Cgroups::detect();
  runtime::EventLoop loop_;
  ConsoleHub consoles_;
  // Under the hypervisor, whose work they may still do when it goes; they hold what they need.
  runtime::WorkerPool workers_;
  std::unique_ptr<QemuHypervisor> hypervisor_;
  std::thread thread_;
};

}  // namespace gantry::qemu
