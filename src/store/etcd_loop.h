// The one thread of the etcd store: all its state belongs to it, so that nothing there needs a lock. It sleeps where
// gRPC tells what has ended; with nothing under way it does not wake.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/time.h"

namespace grpc {
class CompletionQueue;
}

namespace gantry::store {

class EtcdLoop {
 public:
  // `on_close` runs on the loop when it closes: it must have every operation under way cancelled.
  explicit EtcdLoop(std::function<void()> on_close);
  ~EtcdLoop();
  EtcdLoop(const EtcdLoop&) = delete;
  EtcdLoop& operator=(const EtcdLoop&) = delete;

  // Any thread. Dropped once it has closed.
  void post(std::function<void()> work);
  // Ends all timers, waits for every operation's end. Not on the loop.
  void close();

  // The rest: on the loop only.

  // For starting a gRPC operation: its tag, with which `done` is called once, given whether it succeeded.
  void* begin(std::function<void(bool ok)> done);
  [[nodiscard]] grpc::CompletionQueue* queue() { return queue_.get(); }
  // Not called when the loop closes before.
  void after(Milliseconds delay_ms, std::function<void()> work);
  [[nodiscard]] bool closing() const { return closing_; }

 private:
  struct Timer;

  void run();
  void run_posted();
  void wake();

  std::function<void()> on_close_;
  std::unique_ptr<grpc::CompletionQueue> queue_;
  std::set<std::shared_ptr<Timer>> timers_;
  std::size_t under_way_ = 0;
  bool closing_ = false;

  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
  // Tells the loop that something was posted.
  std::unique_ptr<Timer> bell_;
  bool bell_rings_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace gantry::store
