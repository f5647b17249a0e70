#include "app/daemon/host_role.h"

#include <spdlog/spdlog.h>

#include "app/daemon/cluster_file.h"
#include "app/daemon/machine.h"
#include "host/host_core.h"
#include "runtime/machine_addresses.h"

namespace gantry::app {
namespace {

link::HostLinkOptions link_options(const std::string& state_directory) {
  link::HostLinkOptions options;
  options.keep = [state_directory](const link::HostCredentials& renewed) {
    return write_cluster(state_directory, renewed);
  };
  options.log = [](std::string_view line) { spdlog::info("{}", line); };
  return options;
}

// This machine's end of the way to its manager.
std::string address_towards_any(const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses) {
    if (std::string own = runtime::address_towards(address); !own.empty()) return own;
  }
  return {};
}

}  // namespace

// In the order of making; destroyed the other way round.
struct HostRole::Parts {
  Parts(const DaemonOptions& options, std::uint64_t incarnation, const link::HostCredentials& credentials)
      : machine(options, [addresses = credentials.addresses] { return address_towards_any(addresses); }),
        link(machine.loop, credentials, link_options(options.state_directory)),
        host(machine.ports(link), host_options(options, {credentials.host_id, credentials.host_name, incarnation})) {}

  ~Parts() {
    link.stop();
    machine.stop();
  }

  Machine machine;
  link::GrpcHostLink link;
  host::HostCore host;
};

HostRole::HostRole(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
HostRole::~HostRole() = default;

Result<std::unique_ptr<HostRole>> HostRole::make(const DaemonOptions& options, std::uint64_t incarnation,
                                                 const link::HostCredentials& credentials) {
  if (auto made = make_machine_directories(options); !made) return fail(made.error());
  return std::unique_ptr<HostRole>(new HostRole(std::make_unique<Parts>(options, incarnation, credentials)));
}

port::Console& HostRole::consoles() { return parts_->machine.consoles; }

void HostRole::start() {
  parts_->host.start();
  parts_->link.start();
  parts_->machine.start();
}

}  // namespace gantry::app
