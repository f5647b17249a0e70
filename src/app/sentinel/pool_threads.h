// A thread for each lane of a pool, so that one that hangs holds up nothing but its own leases.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "runtime/worker_pool.h"

namespace gantry::sentinel {

class PoolThreads {
 public:
  // Work of one lane is done one after another. A thread that hangs in a read is not waited for when the process ends,
  // so it must be ended by _exit.
  void submit(const std::string& lane, std::function<void()> work);

 private:
  std::map<std::string, std::unique_ptr<runtime::WorkerPool>> threads_;
};

// From now on the calling thread has none of this process's sockets and files open, but what wakes the loop: a thread
// that hangs in the kernel keeps its open files open although its process was killed, and what tells others of that
// death are files that close.
void let_go_of_files();

}  // namespace gantry::sentinel
