#include "app/cli/commands.h"
#include "app/cli/launch_parts.h"
#include "app/cli/record_commands.h"
#include "model/limits.h"

namespace gantry::app {
namespace {

Table network_table(const v1::NetworkList& list) {
  Table table({"NAME", "STATE", "KIND", "SUBNET", "BRIDGE", "ID", "REASON"});
  for (const auto& network : list.items()) {
    const auto& spec = network.spec();
    table.add({network.meta().name(), v1::NetworkStatus::State_Name(network.status().state()),
               v1::NetworkSpec::Kind_Name(spec.kind()), spec.ipv4_subnet().empty() ? "-" : spec.ipv4_subnet(),
               spec.bridge().empty() ? "-" : spec.bridge(), network.meta().id(),
               reason_of(network.status().problem())});
  }
  return table;
}

v1::NetworkSpec::Kind kind_of(const std::string& word) {
  if (word == "bridge") return v1::NetworkSpec::BRIDGE;
  if (word == "user") return v1::NetworkSpec::USER;
  if (word == "vlan") return v1::NetworkSpec::VLAN;
  return word == "overlay" ? v1::NetworkSpec::OVERLAY : v1::NetworkSpec::NAT;
}

}  // namespace

void add_network_commands(const Commands& commands) {
  struct Options {
    std::string name;
    std::string kind = "nat";
    std::string subnet;
    std::string bridge;
    std::string domain;
    std::string host;
    std::string uplink;
    std::uint32_t vlan = 0;
    std::uint32_t mtu = 0;
    bool allow_spoofing = false;
    std::vector<std::string> labels;
  };
  auto* group = commands.group("network", "What virtual machines are attached to",
                               "gantry network list\ngantry network create lab --subnet 10.70.0.0/24");
  add_record_commands<v1::Network, v1::NetworkList>(commands, *group, "network", "Network", network_table);
  auto* command = commands.add(*group, "create", "Make a network",
                               "gantry network create lab --subnet 10.70.0.0/24\n"
                               "gantry network create office --kind bridge --bridge br0 --host beta\n"
                               "gantry network create segment --kind overlay      (one segment across all hosts)\n"
                               "gantry network create floor --kind vlan --vlan 120 --uplink eno1\n"
                               "gantry network create plain --kind user");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "Its name: a-z, 0-9 and -")->required();
  command->add_option("--kind", options->kind, "nat, bridge or user; on every host: overlay or vlan")
      ->check(CLI::IsMember({"nat", "bridge", "user", "overlay", "vlan"}))
      ->capture_default_str();
  command->add_option("--subnet", options->subnet, "Of a nat or overlay network; a free one if not given");
  command->add_option("--bridge", options->bridge, "The host's existing bridge, for kind bridge");
  command->add_option("--vlan", options->vlan, "Its number on the wire, for kind vlan")
      ->type_name("N")
      ->check(within(1, 4094));
  command->add_option("--uplink", options->uplink, "The interface of each host that carries it, for kind vlan");
  command
      ->add_option("--mtu", options->mtu,
                   "Of an overlay or vlan; the interface's own if not given, less 50 for what is around an overlay's "
                   "packets")
      ->type_name("N")
      ->check(within(model::kMtuMin, model::kMtuMax));
  command->add_option("--domain", options->domain, "DNS domain of its guests (gantry)");
  command
      ->add_option("--host", options->host,
                   "Host it is on; the manager's own machine if not given. Overlays and VLANs are on every host")
      ->type_name("HOST");
  command->add_flag("--allow-spoofing", options->allow_spoofing, "Guests may use any MAC and IP address");
  command->add_option("-l,--label", options->labels, "key=value; may be given again")->check(label());
  commands.run(command, [&session = commands.session, options] {
    v1::CreateNetworkRequest request;
    request.set_name(options->name);
    request.set_host(options->host);
    add_labels(options->labels, *request.mutable_labels());
    auto& spec = *request.mutable_spec();
    spec.set_kind(kind_of(options->kind));
    spec.set_vlan(options->vlan);
    spec.set_uplink(options->uplink);
    spec.set_mtu(options->mtu);
    spec.set_ipv4_subnet(options->subnet);
    spec.set_bridge(options->bridge);
    spec.set_domain(options->domain);
    spec.set_allow_spoofing(options->allow_spoofing);
    return session.run_change("CreateNetwork", request);
  });
}

}  // namespace gantry::app
