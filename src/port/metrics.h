// What guests and their host have used since they began, as the system and QEMU count it.
//
// Threads: called on the host's executor, returns at once; answers come on that executor.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gantry/v1/metrics.pb.h"

namespace gantry::port {

// Sums since some beginning; they begin anew with what counts them, and only ever grow until then. Nothing: it cannot
// be told.
struct DiskCounters {
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  // Of all reads, and of all writes, together: from when they were asked for until they were done.
  double read_seconds = 0;
  double write_seconds = 0;
};

struct NetworkCounters {
  std::uint64_t received_bytes = 0;
  std::uint64_t sent_bytes = 0;
};

struct GuestCounters {
  std::string vm_id;
  // Another one is another process: nothing of what it counts goes on from the one before.
  std::string process;
  // Of its processors.
  std::optional<double> cpu_seconds = {};
  // They were to run and had none of the host's.
  std::optional<double> cpu_wait_seconds = {};
  // These are no sums, but what is now.
  std::optional<std::uint64_t> memory_used_bytes = {};
  std::optional<std::uint64_t> memory_resident_bytes = {};
  std::optional<DiskCounters> disk = {};
  // As the guest sees it.
  std::optional<NetworkCounters> network = {};
};

struct HostCounters {
  // Of all processors together, each for itself.
  struct Processors {
    double busy_seconds = 0;
    double wait_seconds = 0;
    double stolen_seconds = 0;
    // Those, and idle ones.
    double all_seconds = 0;
  };
  std::optional<Processors> processors = {};
  // Not sums.
  std::optional<std::uint64_t> memory_used_bytes = {};
  std::optional<std::uint64_t> memory_total_bytes = {};
  std::optional<std::uint64_t> swap_used_bytes = {};
  std::optional<DiskCounters> disk = {};
  std::optional<NetworkCounters> network = {};
};

struct Counters {
  HostCounters host;
  // Those whose process lives.
  std::vector<GuestCounters> guests;
};

// Where samples go.
class SampleSink {
 public:
  virtual ~SampleSink() = default;
  // Of a thing that exists, told by the host that it is of. On the manager's executor.
  virtual void take(const v1::Sample& sample) = 0;
};

class Meters {
 public:
  virtual ~Meters() = default;
  // What could be read. A guest that does not answer holds up neither the others nor, for more than a few seconds, the
  // answer.
  virtual void read(std::function<void(Counters)> done) = 0;
};

}  // namespace gantry::port
