// Networks on this host, and how guests attach to them.
//
// Threads: methods are called on the host's executor and return at once; answers come on that executor. Every call is
// answered once; all are idempotent; a failed call leaves nothing behind.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "gantry/v1/link.pb.h"
#include "gantry/v1/network.pb.h"
#include "gantry/v1/vm.pb.h"
#include "port/hypervisor.h"

namespace gantry::port {

struct NetworkFacts {
  v1::NetworkSpec::Kind effective_kind = v1::NetworkSpec::NAT;
  // Why another kind than the asked one is used, or what its guests are not kept from; empty when all is as asked.
  std::string reason;
};

// One NIC of one VM, complete.
struct NicRequest {
  std::string vm_id;
  std::string vm_name;
  std::uint32_t index = 0;
  std::uint32_t uid = 0;
  v1::Network network;
  v1::VmNic nic;
  // The VM's: those that the NIC has, and those that their rules name. One that is missing lets nothing through.
  std::vector<v1::AssignedGroup> groups = {};
};

class Network {
 public:
  virtual ~Network() = default;

  // Bridge, address, firewall and DHCP/DNS of a network, made or put right.
  virtual void ensure_network(const v1::Network& network, std::function<void(Result<NetworkFacts>)> done) = 0;
  virtual void remove_network(const v1::Network& network, Done done) = 0;
  // Of an overlay that was ensured: where the NICs on other hosts are now, all of them.
  virtual void set_overlay(const v1::Network& network, std::vector<v1::OverlayEntry> entries, Done done) = 0;

  // Everything a guest's NIC needs before the guest starts: tap, anti-spoofing, DHCP entry, name, port forwards.
  virtual void attach(const NicRequest& request, std::function<void(Result<GuestNic>)> done) = 0;
  // What attach does of the NIC's security groups, for one that is attached; for others nothing.
  virtual void set_groups(const NicRequest& request, Done done) = 0;
  // Undoes all attachments of that VM.
  virtual void detach(const std::string& vm_id, Done done) = 0;
};

}  // namespace gantry::port
