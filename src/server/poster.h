// Brings work from any thread to the server's loop, in the order of posting, until closed: after that work is dropped.
// It outlives the server in the callbacks that others hold.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace gantry::server {

class Poster : public std::enable_shared_from_this<Poster> {
 public:
  using Work = std::function<void()>;

  // `schedule` runs work on the loop, in any order: Asio runs what its own thread posts after what came from others
  // meanwhile, which would turn changes of a watch around.
  explicit Poster(std::function<void(Work)> schedule) : schedule_(std::move(schedule)) {}

  void post(Work work) {
    const std::lock_guard lock(mutex_);
    if (!schedule_) return;
    queue_.push_back(std::move(work));
    if (queue_.size() == 1) schedule_next();
  }
  // When it has returned, no more work begins.
  void close() {
    std::deque<Work> dropped;
    const std::lock_guard lock(mutex_);
    schedule_ = nullptr;
    dropped.swap(queue_);
  }

 private:
  void schedule_next() {
    schedule_([self = shared_from_this()] { self->run_one(); });
  }
  // One at a time, so that sockets get their turn in between.
  void run_one() {
    Work work;
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
      if (!queue_.empty()) schedule_next();
    }
    work();
  }

  std::mutex mutex_;
  std::function<void(Work)> schedule_;
  std::deque<Work> queue_;
};

using PosterPtr = std::shared_ptr<Poster>;

}  // namespace gantry::server
