// Manager and host in one process: every room, wired.
//
// Threads: one loop for all decisions and QMP, one for the store, one for the API, and workers for what blocks. Made,
// started and destroyed on the main thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "app/daemon/options.h"
#include "app/daemon/state.h"
#include "base/result.h"

namespace gantry::app {

struct AllInOneStarted {
  std::uint16_t port = 0;
  // Of the user "admin", at the first start only.
  std::string first_password;
};

class AllInOne {
 public:
  // Takes guests of an earlier daemon over once started.
  static Result<std::unique_ptr<AllInOne>> make(const DaemonOptions& options, DaemonState state);
  // Ends the API, lets what is under way end, leaves guests running.
  ~AllInOne();
  AllInOne(const AllInOne&) = delete;
  AllInOne& operator=(const AllInOne&) = delete;

  Result<AllInOneStarted> start(const std::string& local_token);

 private:
  struct Parts;
  explicit AllInOne(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

// Where the records are.
std::string store_path(const std::string& state_directory);

}  // namespace gantry::app
