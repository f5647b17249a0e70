#include "app/daemon/host_role.h"

#include <spdlog/spdlog.h>

#include "app/daemon/cluster_file.h"
#include "app/daemon/machine.h"
#include "host/host_core.h"
#include "runtime/machine_addresses.h"

namespace gantry::app {
namespace {

link::HostLinkOptions link_options(const std::string& state_directory, Machine& machine) {
  link::HostLinkOptions options;
  options.keep = [state_directory](const link::HostCredentials& renewed) {
    return write_cluster(state_directory, renewed);
  };
  options.connected_to = [&machine](const std::string& peer) { machine.address.set(runtime::address_towards(peer)); };
  options.log = [](std::string_view line) { spdlog::info("{}", line); };
  return options;
}

}  // namespace

// In the order of making; destroyed the other way round.
struct HostRole::Parts {
  Parts(const DaemonOptions& options, DaemonState kept, const link::HostCredentials& credentials)
      : state(std::move(kept)),
        machine(options),
        link(machine.loop, credentials, link_options(options.state_directory, machine)),
        host(machine.ports(link),
             host_options(options, machine, {credentials.host_id, credentials.host_name, state.incarnation})) {}

  ~Parts() {
    link.stop();
    machine.stop();
  }

  DaemonState state;
  Machine machine;
  link::GrpcHostLink link;
  host::HostCore host;
};

HostRole::HostRole(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
HostRole::~HostRole() = default;

Result<std::unique_ptr<HostRole>> HostRole::make(const DaemonOptions& options, DaemonState state,
                                                 const link::HostCredentials& credentials) {
  if (auto made = make_machine_directories(options); !made) return fail(made.error());
  return std::unique_ptr<HostRole>(new HostRole(std::make_unique<Parts>(options, std::move(state), credentials)));
}

void HostRole::start() {
  parts_->host.start();
  parts_->link.start();
  parts_->machine.start();
}

}  // namespace gantry::app
