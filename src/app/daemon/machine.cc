#include "app/daemon/machine.h"

#include <spdlog/spdlog.h>

#include <filesystem>

#include "model/sha256.h"
#include "runtime/files.h"

namespace gantry::app {
namespace {

constexpr std::size_t kQuickWorkers = 4;
constexpr std::size_t kSlowWorkers = 2;

// A package's place, or the source tree's when the program was built there.
std::string find_data_directory(const std::string& given) {
  if (!given.empty()) return given;
  std::error_code error;
  for (auto directory = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
       !directory.empty() && directory != directory.root_path(); directory = directory.parent_path()) {
    if (std::filesystem::exists(directory / "tools/images/make-debian-image", error)) return directory / "tools";
  }
  return "/usr/share/gantry";
}

// Built and installed beside this program.
std::string sentinel_program() {
  std::error_code error;
  return (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "gantry-sentinel").string();
}

storage::StorageOptions storage_options(const DaemonOptions& options) {
  storage::StorageOptions storage;
  storage.seed_directory = options.state_directory + "/seeds";
  storage.cache_directory = options.state_directory + "/cache/images";
  storage.recipes["debian-12"] = find_data_directory(options.data_directory) + "/images/make-debian-image";
  return storage;
}

qemu::AcceleratorChoice choose_accelerator(const std::string& asked) {
  if (asked != "auto") return {asked, "chosen by the option --accelerator"};
  return qemu::probe_accelerator();
}

qemu::EngineOptions engine_options(const DaemonOptions& options, const qemu::AcceleratorChoice& choice) {
  qemu::EngineOptions engine;
  engine.state_directory = options.state_directory;
  engine.accelerator = choice.accelerator;
  return engine;
}

// None in the directory that a machine's only daemon has.
std::string group_suffix(const std::string& state_directory) {
  if (state_directory == DaemonOptions().state_directory) return {};
  return "." + model::sha256_hex(state_directory).substr(0, 8);
}

}  // namespace

Result<void> make_machine_directories(const DaemonOptions& options) {
  for (const char* directory : {"/vms", "/seeds", "/cache/images", "/network", "/ceph"}) {
    if (auto made = runtime::make_directories(options.state_directory + directory, 0711); !made) return made;
  }
  return {};
}

Machine::Machine(const DaemonOptions& options, std::function<std::string()> address)
    : accelerator(choose_accelerator(options.accelerator)),
      cgroups(qemu::Cgroups::detect(group_suffix(options.state_directory))),
      quick(kQuickWorkers),
      storage_quick(kQuickWorkers),
      storage_slow(kSlowWorkers),
      shared_storage_quick(kQuickWorkers),
      shared_storage_slow(kSlowWorkers),
      consoles(loop),
      hypervisor(loop, quick, cgroups, consoles, engine_options(options, accelerator)),
      facts(loop, quick, {.accelerator = accelerator, .state_directory = options.state_directory, .address = address}),
      storage(loop, {storage_quick, storage_slow}, {shared_storage_quick, shared_storage_slow},
              storage_options(options)),
      network(loop, quick, network_directory(options), {.driver = {.host_address = std::move(address)}}),
      sentinel(loop, quick, options.state_directory, sentinel_program()) {
  spdlog::info("accelerator {}: {}", accelerator.accelerator, accelerator.reason);
  if (!cgroups.trouble().empty()) spdlog::warn("control groups: {}", cgroups.trouble());
}

Machine::~Machine() { stop(); }

void Machine::start() {
  thread = std::thread([this] { loop.run(); });
}

void Machine::stop() {
  loop.stop();
  if (thread.joinable()) thread.join();
}

host::Ports Machine::ports(port::HostLink& link) {
  return {.executor = loop,
          .link = link,
          .hypervisor = hypervisor,
          .mover = hypervisor,
          .copier = hypervisor,
          .facts = facts,
          .storage = storage,
          .network = network,
          .sentinel = sentinel,
          .meters = hypervisor};
}

host::Options host_options(const DaemonOptions& options, HostIdentity identity) {
  host::Options host;
  host.host_id = std::move(identity.id);
  host.host_name = std::move(identity.name);
  host.incarnation = identity.incarnation;
  for (const auto& [name, program] : storage_options(options).recipes) host.recipes.push_back(name);
  host.ceph_directory = ceph_directory(options);
  host.log = [](std::string_view line) { spdlog::info("{}", line); };
  return host;
}

std::string network_directory(const DaemonOptions& options) { return options.state_directory + "/network"; }

std::string ceph_directory(const DaemonOptions& options) {
  // Part of the text that says where a pool is, which knows no other paths than absolute ones.
  return std::filesystem::absolute(options.state_directory + "/ceph").lexically_normal().string();
}

std::string default_pool_path(const DaemonOptions& options) { return options.state_directory + "/pools/default"; }

}  // namespace gantry::app
