// Runs a helper program to its end, without a shell.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace gantry::runtime {

// Set to true, it ends the program (and its process group) soon.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

struct ProcessRequest {
  // argv[0] is looked up in PATH.
  std::vector<std::string> argv;
  std::string input = {};
  Milliseconds timeout_ms = 60'000;
  // More output than this is read and dropped.
  std::size_t output_bytes_max = 1U << 20U;
  // "NAME=value", beside PATH, LC_ALL=C and HOME of the daemon's own environment. Proxy settings are passed on too.
  std::vector<std::string> environment = {};
  // Gets standard output as it comes, in pieces; may be empty.
  std::function<void(std::string_view)> on_output = {};
  CancelFlag cancel = {};
  // Runs as this user and group, without supplementary groups and capabilities and without ways to get any; 0: as the
  // daemon.
  std::uint32_t uid = 0;
};

struct ProcessOutput {
  std::string out;
  std::string err;
};

// Blocks: call it on a worker. The program gets no descriptor of ours, and ends when the calling thread does, be it by
// SIGKILL. Fails when the program is missing (unsupported), ends with another status than 0
// (internal; the cause is the end of its error output), takes too long (timed_out) or was cancelled. However it ends,
// none of its process group is left.
Result<ProcessOutput> run_process(const ProcessRequest& request);

// To be called between fork and exec: when memory runs out the kernel is to judge the process as any other, however
// much it spares the daemon. Async-signal-safe; to be called before the process becomes another user's.
void take_ordinary_oom_score();

// For exec: valid while `strings` are, and as they are now.
std::vector<char*> pointers(std::vector<std::string>& strings);

}  // namespace gantry::runtime
