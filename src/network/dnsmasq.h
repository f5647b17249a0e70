// The dnsmasq of one NAT network: it outlives the daemon, and a daemon that finds it running with the right
// configuration leaves it alone.
//
// Blocks; not for several threads at once.
#pragma once

#include <string>

#include "base/result.h"
#include "network/dnsmasq_files.h"

namespace gantry::network {

class Dnsmasq {
 public:
  // Its files lie under `directory`, which dnsmasq's own user must be able to enter.
  Dnsmasq(NatPlan plan, std::string directory, std::string resolv_file);

  // Starts it when it does not run, and anew when its configuration changed. The bridge is up by then.
  Result<void> ensure(const std::vector<NicPlan>& nics);
  [[nodiscard]] bool is_running() const;
  // The NIC gets its address and name from now on. An address that another card still had on lease becomes free.
  Result<void> add(const NicPlan& nic);
  void remove(const NicPlan& nic);
  // Ends it and removes its files.
  Result<void> destroy();

 private:
  [[nodiscard]] pid_t find_process() const;
  Result<void> start();
  void stop();
  void signal_reload();
  void release_leases(const NicPlan& nic, bool own);
  void wait_for_dying() const;
  Result<void> write_hosts(const NicPlan& nic);
  Result<void> make_directories(const DnsmasqUser& user);

  NatPlan plan_;
  std::string directory_;
  DnsmasqPaths paths_;
  std::string resolv_file_;
};

// "dnsmasq" or, where there is none, "nobody".
Result<DnsmasqUser> dnsmasq_user();

}  // namespace gantry::network
