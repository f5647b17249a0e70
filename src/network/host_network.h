// port::Network on this host. The work (driver.h) blocks for milliseconds and is done on workers, one call at a time
// and in the order of the calls.
#pragma once

#include <memory>
#include <string>

#include "base/time.h"
#include "network/driver.h"
#include "port/executor.h"
#include "port/network.h"
#include "runtime/worker_pool.h"

namespace gantry::network {

struct HostNetworkOptions {
  DriverOptions driver = {};
  // How often it looks whether each network's dnsmasq still runs.
  Milliseconds revive_interval_ms = 5000;
};

class HostNetwork final : public port::Network {
 public:
  // `state_directory`: see Driver. Executor and pool must outlive this object, and the executor the pool. Calls under
  // way when it is destroyed are still done and answered.
  HostNetwork(port::Executor& executor, runtime::WorkerPool& pool, std::string state_directory,
              HostNetworkOptions options = {});
  ~HostNetwork() override;
  HostNetwork(const HostNetwork&) = delete;
  HostNetwork& operator=(const HostNetwork&) = delete;

  void ensure_network(const v1::Network& network, std::function<void(Result<port::NetworkFacts>)> done) override;
  void remove_network(const v1::Network& network, port::Done done) override;
  void set_overlay(const v1::Network& network, std::vector<v1::OverlayEntry> entries, port::Done done) override;
  void attach(const port::NicRequest& request, std::function<void(Result<port::GuestNic>)> done) override;
  void set_groups(const port::NicRequest& request, port::Done done) override;
  void detach(const std::string& vm_id, port::Done done) override;

 private:
  class Lane;
  std::shared_ptr<Lane> lane_;
};

}  // namespace gantry::network
