// Guests that go to another host while they run: what the hypervisor does for it at both ends. Who may run the guest
// when is the caller's to know: nothing here lets a guest run in two places unless take_over() is called in both.
//
// Threads: as in port/hypervisor.h; these calls are calls for one guest like those there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/time.h"
#include "port/hypervisor.h"

namespace gantry::port {

// What both ends of a move must agree on.
struct MoveTerms {
  // Those of the guest's disks, by position, whose content goes too; the others are there already.
  std::vector<std::size_t> copied_disks = {};
  // That send memory at once; 1 with `postcopy`.
  std::uint32_t connections = 1;
  // The guest may be `sent` before all of its memory is there: the target fetches the rest from the process at the
  // source, which stands (GuestObservation::fetching). If either ends before, or the way between them, the guest is
  // lost at both.
  bool postcopy = false;
};

struct MoveRequest : MoveTerms {
  // Of QEMU's own connections, encrypted and proved by the secret: 64 hexadecimal digits, for this move alone.
  v1::MoveAddress target = {};
  // How long the guest may stand still while the last of its memory is sent.
  Milliseconds downtime_max_ms = 100;
  // 0: as much as goes.
  std::uint64_t bytes_per_second_max = 0;
};

struct MoveProgress {
  // "copying disks", "copying memory".
  std::string phase;
  std::uint32_t percent = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_left = 0;
  std::uint64_t dirty_bytes_per_second = 0;
  // Of a move that is over: how long the guest stood still for the last of its memory, and all of it.
  Milliseconds downtime_ms = 0;
  Milliseconds total_ms = 0;
};

using ListeningDone = std::function<void(Result<v1::MoveAddress>)>;

class Mover {
 public:
  virtual ~Mover() = default;

  // At the target: a process that waits for the guest at `listen_address`, an IP address of this host; answered once it
  // does. The copied disks are there and as large, and are filled by the source. The guest is `receiving`, then
  // `received`; when that fails it is absent again. kill() ends it.
  virtual void receive(const GuestDefinition& guest, const std::string& listen_address, const MoveTerms& terms,
                       ListeningDone done) = 0;
  // How fast a guest that runs changes its memory, in bytes a second; takes a second.
  virtual void measure(const std::string& vm_id, std::function<void(Result<std::uint64_t>)> done) = 0;
  // At the source: done when the guest is `sent`. On failure it goes on as before.
  virtual void send(const std::string& vm_id, const MoveRequest& request,
                    std::function<void(const MoveProgress&)> progress, Done done) = 0;
  // May come while send() is under way, which fails soon then, unless everything went already.
  virtual void stop_sending(const std::string& vm_id) = 0;
  // Of a guest that is `received` or `sent`: it is this host's from now on. `runs`: let it run, else it stays paused.
  virtual void take_over(const std::string& vm_id, bool runs, Done done) = 0;
};

}  // namespace gantry::port
