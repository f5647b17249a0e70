// What moves of guests, and of their disks, ask alike; moves of several guests for one reason. Internal to src/control.
#pragma once

#include <map>
#include <string>

#include "control/admission.h"

namespace gantry::control {

// The VM's guest runs, and nothing of it moves: a conflict that says why it cannot be moved.
Result<void> check_runs(const View& view, const v1::Vm& vm);

struct MovesTogether {
  struct Taken {
    std::uint64_t memory_mib = 0;
    std::uint32_t cpus = 0;
    std::uint32_t guests = 0;
  };

  // Why a host, by id, is not to be chosen now.
  std::map<std::string, std::string> trouble = {};
  // By host: what those before this one take there, and the view does not have yet.
  std::map<std::string, Taken> taken = {};

  void add(const std::string& host_id, const v1::VmSpec& spec) {
    Taken& there = taken[host_id];
    there.memory_mib += spec.memory_mib();
    there.cpus += spec.cpus();
    there.guests += 1;
  }
};

// As move_vm(), which checks the same; what it comes to is added to `others`.
Result<void> move_with_others(Change& change, const v1::MoveVmRequest& request, MovesTogether& others);

}  // namespace gantry::control
