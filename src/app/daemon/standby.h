// What answers in place of the manager while another leads: the same address, and each request is told who leads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "app/daemon/election.h"
#include "app/daemon/options.h"
#include "base/result.h"

namespace gantry::app {

class Standby {
 public:
  // `known` must outlive it.
  Standby(const DaemonOptions& options, const KnownLeader& known);
  ~Standby();
  Standby(const Standby&) = delete;
  Standby& operator=(const Standby&) = delete;

  // The port.
  Result<std::uint16_t> start();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace gantry::app
