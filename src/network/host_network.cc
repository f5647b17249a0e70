#include "network/host_network.h"

#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <utility>

namespace gantry::network {

// Work in order, one piece at a time, on whichever worker is free. Kept alive by the work itself.
class HostNetwork::Lane : public std::enable_shared_from_this<Lane> {
 public:
  Lane(port::Executor& executor, runtime::WorkerPool& pool, std::string state_directory, HostNetworkOptions options)
      : executor_(executor),
        pool_(pool),
        revive_interval_ms_(options.revive_interval_ms),
        driver_(std::move(state_directory), std::move(options.driver)) {}

  // `work` on a worker, then `done` with its result on the executor.
  template <class T>
  void call(std::function<Result<T>(Driver&)> work, std::function<void(Result<T>)> done) {
    submit([this, work = std::move(work), done = std::move(done)] {
      auto result = std::make_shared<Result<T>>(attempt(work));
      executor_.post([done, result] { done(std::move(*result)); });
    });
  }

  // From the executor. Goes on until the HostNetwork is gone.
  void watch() {
    executor_.post_after(revive_interval_ms_, [weak = weak_from_this()] {
      const auto lane = weak.lock();
      if (!lane) return;
      lane->call<void>(
          [](Driver& driver) {
            driver.revive();
            return Result<void>{};
          },
          [](const Result<void>&) {});
      lane->watch();
    });
  }

 private:
  template <class T>
  Result<T> attempt(const std::function<Result<T>(Driver&)>& work) {
    try {
      return work(driver_);
    } catch (const std::exception& exception) {
      return fail(ErrorCode::internal, "cannot change this host's network", exception.what());
    }
  }

  void submit(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
    if (std::exchange(busy_, true)) return;
    pool_.submit([self = shared_from_this()] { self->drain(); });
  }

  void drain() {
    while (true) {
      std::function<void()> work;
      {
        const std::lock_guard lock(mutex_);
        busy_ = !queue_.empty();
        if (!busy_) return;
        work = std::move(queue_.front());
        queue_.pop_front();
      }
      work();
    }
  }

  port::Executor& executor_;
  runtime::WorkerPool& pool_;
  Milliseconds revive_interval_ms_;
  Driver driver_;
  std::mutex mutex_;
  std::deque<std::function<void()>> queue_;
  bool busy_ = false;
};

HostNetwork::HostNetwork(port::Executor& executor, runtime::WorkerPool& pool, std::string state_directory,
                         HostNetworkOptions options)
    : lane_(std::make_shared<Lane>(executor, pool, std::move(state_directory), std::move(options))) {
  executor.post([weak = std::weak_ptr<Lane>(lane_)] {
    if (const auto lane = weak.lock()) lane->watch();
  });
}

HostNetwork::~HostNetwork() = default;

void HostNetwork::ensure_network(const v1::Network& network, std::function<void(Result<port::NetworkFacts>)> done) {
  lane_->call<port::NetworkFacts>([network](Driver& driver) { return driver.ensure_network(network); },
                                  std::move(done));
}

void HostNetwork::remove_network(const v1::Network& network, port::Done done) {
  lane_->call<void>([network](Driver& driver) { return driver.remove_network(network); }, std::move(done));
}

void HostNetwork::set_overlay(const v1::Network& network, std::vector<v1::OverlayEntry> entries, port::Done done) {
  lane_->call<void>(
      [network, entries = std::move(entries)](Driver& driver) { return driver.set_overlay(network, entries); },
      std::move(done));
}

void HostNetwork::set_groups(const port::NicRequest& request, port::Done done) {
  lane_->call<void>([request](Driver& driver) { return driver.set_groups(request); }, std::move(done));
}

void HostNetwork::attach(const port::NicRequest& request, std::function<void(Result<port::GuestNic>)> done) {
  lane_->call<port::GuestNic>([request](Driver& driver) { return driver.attach(request); }, std::move(done));
}

void HostNetwork::detach(const std::string& vm_id, port::Done done) {
  lane_->call<void>([vm_id](Driver& driver) { return driver.detach(vm_id); }, std::move(done));
}

}  // namespace gantry::network
