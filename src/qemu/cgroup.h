// A control group per guest, "gantry/<vm_id>", so that one guest cannot starve the host or the others: processor weight
// by its number of processors, a limit for QEMU's memory and processes. Unified hierarchy (v2) or the older one (v1),
// whichever holds the controllers (kernel documentation admin-guide/cgroup-v2.rst, cgroup-v1/). Groups of others are
// left alone: all that is written outside "gantry" is that children of the root may use the controllers needed.
//
// Guests outlive the daemon, so their groups are not below the daemon's own, which an init system cleans up or refuses
// to start the daemon in again.
//
// Threads: any; it is a value. Calls write small files in memory: they do not block.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry::qemu {

class Cgroups {
 public:
  // Looks at what this machine has mounted; changes nothing. `suffix` ends the names of the groups: of two daemons on
  // one machine, as in tests, each may have a process of one guest while it moves.
  static Cgroups detect(std::string suffix = {});
  // The same from the text of a /proc/self/mountinfo (proc(5)).
  static Cgroups detect_in(std::string_view mountinfo);

  // "v1" or "v2"; empty when neither can be used: then every call below succeeds and does nothing.
  [[nodiscard]] const std::string& version() const { return version_; }
  // Why no group, or not every limit, can be had, in a sentence; empty when all is well.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

  // Makes the guest's group or brings an existing one to these limits. Fails (permission_denied, unsupported,
  // unavailable) with the file that could not be written; a guest may be started without.
  [[nodiscard]] Result<void> make_for_guest(std::string_view vm_id, std::uint32_t cpus, std::uint32_t memory_mib) const;
  // Moves the process with all its threads into the guest's group. not_found when there is no such process or group.
  [[nodiscard]] Result<void> join(std::string_view vm_id, pid_t pid) const;
  // The files a process may write "0" to, to join by itself.
  [[nodiscard]] std::vector<std::string> join_files(std::string_view vm_id) const;
  // conflict while processes are left in it; done when there is no such group.
  [[nodiscard]] Result<void> remove(std::string_view vm_id) const;

 private:
  // One mounted tree, and which of the controllers needed it has.
  struct Hierarchy {
    std::string root;
    std::vector<std::string> controllers;
  };

  [[nodiscard]] std::string group(const Hierarchy& hierarchy, std::string_view vm_id) const;
  [[nodiscard]] Result<void> prepare(const Hierarchy& hierarchy) const;
  [[nodiscard]] Result<void> set_weight_of_all(const Hierarchy& hierarchy, const std::string& all) const;

  std::string suffix_;
  std::string version_;
  std::string trouble_;
  std::vector<Hierarchy> hierarchies_;
};

// What QEMU may use beside the guest's own memory: translated code (1 GiB at most under TCG), disk buffers, consoles.
std::uint64_t cgroup_memory_limit_bytes(std::uint32_t guest_memory_mib);

}  // namespace gantry::qemu
