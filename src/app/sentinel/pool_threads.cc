#include "app/sentinel/pool_threads.h"

#include <sched.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "runtime/report.h"

namespace gantry::sentinel {

void let_go_of_files() {
  if (::unshare(CLONE_FILES) != 0) {
    runtime::report_problem("a thread of the sentinel cannot let go of its files; it goes on with them");
    return;
  }
  std::vector<int> others;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/thread-self/fd", error)) {
    const std::string name = entry.path().filename();
    int number = 0;
    std::from_chars(name.data(), name.data() + name.size(), number);
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    // The event loop's own.
    if (number > 2 && !target.starts_with("anon_inode:")) others.push_back(number);
  }
  for (const int number : others) ::close(number);
}

void PoolThreads::submit(const std::string& lane, std::function<void()> work) {
  auto& thread = threads_[lane];
  if (!thread) {
    thread = std::make_unique<runtime::WorkerPool>(1);
    thread->submit(let_go_of_files);
  }
  thread->submit(std::move(work));
}

}  // namespace gantry::sentinel
