#include "network/dnsmasq_files.h"

#include <algorithm>

#include "model/mac.h"

namespace gantry::network {
namespace {

// dnsmasq(8) has two words of its own where the name stands in a dhcp-host line. It would take a number for a lease
// time, but no VM's name begins with one.
bool reads_as_name(const std::string& word) { return !word.empty() && word != "ignore" && word != "infinite"; }

}  // namespace

DnsmasqPaths dnsmasq_paths(const std::string& directory) {
  return {directory + "/dnsmasq.conf", directory + "/dnsmasq.pid", directory + "/leases", directory + "/dhcp",
          directory + "/dns"};
}

std::string dnsmasq_config(const NatPlan& plan, const DnsmasqPaths& paths, const DnsmasqUser& user,
                           const std::string& resolv_file) {
  std::string text = "# Written by gantryd, which writes it anew whenever it differs from this.\n";
  const auto add = [&text](const std::string& line) { text += line + "\n"; };
  // bind-dynamic: one dnsmasq beside others, and it follows a bridge that is made again.
  add("interface=" + plan.bridge);
  add("except-interface=lo");
  add("bind-dynamic");
  add("user=" + user.user);
  add("group=" + user.group);
  add("pid-file=" + paths.pid);
  if (!resolv_file.empty()) add("resolv-file=" + resolv_file);
  add("no-hosts");
  add("addn-hosts=" + paths.dns_hosts);
  add("domain=" + plan.domain);
  add("local=/" + plan.domain + "/");
  add("domain-needed");
  add("bogus-priv");
  // Only known cards get an address, and guests do not choose names.
  add("dhcp-range=" + model::format_ipv4(plan.subnet.first) + ",static," + model::format_ipv4({plan.subnet.mask()}) +
      ",1h");
  add("dhcp-hostsfile=" + paths.dhcp_hosts);
  add("dhcp-ignore-names");
  add("dhcp-authoritative");
  add("dhcp-no-override");
  add("dhcp-leasefile=" + paths.leases);
  add("dhcp-lease-max=65536");
  add("dhcp-option=option:router," + model::format_ipv4(plan.gateway));
  if (plan.mtu != 0) add("dhcp-option=option:mtu," + std::to_string(plan.mtu));
  add("quiet-dhcp");
  return text;
}

std::string dhcp_host_line(const NicPlan& nic) {
  if (!nic.ipv4) return {};
  std::string line = nic.mac + "," + model::format_ipv4(*nic.ipv4);
  if (nic.index == 0 && reads_as_name(nic.vm_name)) line += "," + nic.vm_name;
  return line + "\n";
}

std::string dns_host_line(const NicPlan& nic) {
  if (!nic.ipv4 || nic.vm_name.empty()) return {};
  return model::format_ipv4(*nic.ipv4) + " " + nic.vm_name + "." + nic.domain + " " + nic.vm_name + "\n";
}

std::vector<Lease> parse_leases(std::string_view text) {
  std::vector<Lease> leases;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    // End of lease, MAC, address, name, client id.
    std::vector<std::string_view> words;
    while (words.size() < 3 && !line.empty()) {
      const auto end = std::min(line.find(' '), line.size());
      words.push_back(line.substr(0, end));
      line.remove_prefix(std::min(end + 1, line.size()));
    }
    if (words.size() < 3) continue;
    const auto mac = model::parse_mac(words[1]);
    const auto address = model::parse_ipv4(words[2]);
    if (mac && address) leases.push_back({*mac, *address});
  }
  return leases;
}

}  // namespace gantry::network
