// What dnsmasq reads and writes, as text: its configuration, one file for each NIC, and its leases.
// Formats: dnsmasq(8).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "network/plan.h"

namespace gantry::network {

struct DnsmasqPaths {
  std::string config;
  std::string pid;
  std::string leases;
  // Directories with a file for each NIC.
  std::string dhcp_hosts;
  std::string dns_hosts;
};

// Everything of one network's dnsmasq lies under `directory`.
DnsmasqPaths dnsmasq_paths(const std::string& directory);

struct DnsmasqUser {
  std::string user;
  std::string group;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

// `resolv_file`: where the host's resolvers are named; empty: /etc/resolv.conf.
std::string dnsmasq_config(const NatPlan& plan, const DnsmasqPaths& paths, const DnsmasqUser& user,
                           const std::string& resolv_file);
// Its address by its MAC, and with the first card its name.
std::string dhcp_host_line(const NicPlan& nic);
// Empty when the VM's name cannot be one in DNS.
std::string dns_host_line(const NicPlan& nic);

struct Lease {
  std::string mac;
  model::Ipv4Address address;
};

// Lines it does not understand are left out.
std::vector<Lease> parse_leases(std::string_view text);

}  // namespace gantry::network
