// A few threads for work that blocks (subprocesses, file systems). Answers go back to a loop by Executor::post.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace gantry::runtime {

class WorkerPool {
 public:
  explicit WorkerPool(std::size_t threads);
  // Drops work not begun, waits for what is under way.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // From any thread. An exception that leaves `work` is reported on the error output; whoever waits for an answer must
  // see to one itself.
  void submit(std::function<void()> work);

 private:
  void work_until_stopped();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gantry::runtime
