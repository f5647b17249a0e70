#include "app/daemon/all_in_one.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <future>
#include <thread>

#include "app/daemon/upload_paths.h"
#include "control/manager.h"
#include "host/host_core.h"
#include "link/local_link.h"
#include "network/host_network.h"
#include "network/occupied.h"
#include "qemu/accelerator.h"
#include "qemu/cgroup.h"
#include "qemu/console_hub.h"
#include "qemu/host_facts.h"
#include "qemu/hypervisor.h"
#include "runtime/clock.h"
#include "runtime/event_loop.h"
#include "runtime/files.h"
#include "runtime/worker_pool.h"
#include "server/api_server.h"
#include "storage/dir_storage.h"
#include "store/sqlite_store.h"

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

storage::DirStorageOptions storage_options(const DaemonOptions& options) {
  storage::DirStorageOptions storage;
  storage.seed_directory = options.state_directory + "/seeds";
  storage.cache_directory = options.state_directory + "/cache/images";
  storage.recipes["debian-12"] = find_data_directory(options.data_directory) + "/images/make-debian-image";
  return storage;
}

qemu::AcceleratorChoice choose_accelerator(const std::string& asked) {
  if (asked != "auto") return {asked, "chosen by the option --accelerator"};
  return qemu::probe_accelerator();
}

host::Options host_options(const DaemonOptions& options, const DaemonState& state) {
  host::Options host;
  host.host_id = state.host_id;
  host.host_name = options.host_name;
  host.incarnation = state.incarnation;
  for (const auto& [name, program] : storage_options(options).recipes) host.recipes.push_back(name);
  host.log = [](std::string_view line) { spdlog::info("{}", line); };
  return host;
}

control::ManagerOptions manager_options(const DaemonOptions& options, const DaemonState& state) {
  control::ManagerOptions manager;
  manager.seed = state.seed;
  manager.default_pool_path = options.state_directory + "/pools/default";
  for (auto& [subnet, device] : network::host_subnets()) manager.taken_subnets.push_back({subnet, std::move(device)});
  return manager;
}

qemu::EngineOptions engine_options(const DaemonOptions& options, const qemu::AcceleratorChoice& choice) {
  qemu::EngineOptions engine;
  engine.state_directory = options.state_directory;
  engine.accelerator = choice.accelerator;
  return engine;
}

}  // namespace

std::string certificate_path(const DaemonOptions& options) {
  return options.tls_certificate.empty() ? options.state_directory + "/tls/server.crt" : options.tls_certificate;
}

std::string key_path(const DaemonOptions& options) {
  return options.tls_key.empty() ? options.state_directory + "/tls/server.key" : options.tls_key;
}

// In the order of making; destroyed the other way round.
struct AllInOne::Parts {
  Parts(const DaemonOptions& given, DaemonState kept, std::unique_ptr<port::Store> opened)
      : options(given),
        state(std::move(kept)),
        store(std::move(opened)),
        accelerator(choose_accelerator(given.accelerator)),
        cgroups(qemu::Cgroups::detect()),
        quick(kQuickWorkers),
        storage_quick(kQuickWorkers),
        storage_slow(kSlowWorkers),
        consoles(loop),
        hypervisor(loop, quick, cgroups, consoles, engine_options(given, accelerator)),
        facts(loop, quick, {.accelerator = accelerator}),
        storage(loop, storage_quick, storage_slow, storage_options(given)),
        network(loop, quick, given.state_directory + "/network"),
        link(loop),
        manager(*store, link.manager_end(), loop, manager_options(given, state)),
        host({loop, link.host_end(), hypervisor, facts, storage, network}, host_options(given, state)) {}

  ~Parts() {
    if (server) server->stop();
    loop.stop();
    if (loop_thread.joinable()) loop_thread.join();
    server.reset();
  }

  DaemonOptions options;
  DaemonState state;
  runtime::EventLoop loop;
  std::unique_ptr<port::Store> store;
  qemu::AcceleratorChoice accelerator;
  qemu::Cgroups cgroups;
  runtime::WorkerPool quick;
  // Its own: a file system that hangs takes them all, and guests on others are still to be killed and given networks.
  runtime::WorkerPool storage_quick;
  runtime::WorkerPool storage_slow;
  qemu::ConsoleHub consoles;
  qemu::QemuHypervisor hypervisor;
  qemu::MachineFacts facts;
  storage::DirStorage storage;
  network::HostNetwork network;
  link::LocalLink link;
  control::ManagerCore manager;
  host::HostCore host;
  std::unique_ptr<server::ApiServer> server;
  std::thread loop_thread;
};

AllInOne::AllInOne(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
AllInOne::~AllInOne() = default;

Result<std::unique_ptr<AllInOne>> AllInOne::make(const DaemonOptions& options, DaemonState state) {
  for (const char* directory : {"/tls", "/vms", "/seeds", "/cache/images", "/network"}) {
    const mode_t mode = std::string_view(directory) == "/tls" ? 0700 : 0711;
    if (auto made = runtime::make_directories(options.state_directory + directory, mode); !made) {
      return fail(made.error());
    }
  }
  store::SqliteStoreOptions store_options;
  store_options.path = options.state_directory + "/gantry.db";
  store_options.clock = runtime::real_now;
  auto store = store::open_sqlite_store(std::move(store_options));
  if (!store) return fail(store.error());
  auto parts = std::make_unique<Parts>(options, std::move(state), std::move(*store));
  spdlog::info("accelerator {}: {}", parts->accelerator.accelerator, parts->accelerator.reason);
  if (!parts->cgroups.trouble().empty()) spdlog::warn("control groups: {}", parts->cgroups.trouble());
  return std::unique_ptr<AllInOne>(new AllInOne(std::move(parts)));
}

Result<AllInOneStarted> AllInOne::start(const std::string& local_token) {
  Parts& parts = *parts_;
  parts.manager.start();
  parts.host.start();
  parts.link.connect(parts.state.host_id);
  parts.loop_thread = std::thread([&parts] { parts.loop.run(); });

  server::ApiServerOptions options;
  options.addresses = {parts.options.listen_address};
  options.port = parts.options.listen_port;
  options.certificate_path = certificate_path(parts.options);
  options.key_path = key_path(parts.options);
  options.local_token = local_token;
  options.version = GANTRY_VERSION;
  options.upload_path = [&manager = parts.manager](const v1::Image& image) { return find_upload_path(manager, image); };
  parts.server = std::make_unique<server::ApiServer>(std::move(options), parts.manager, *parts.store, parts.consoles);
  const auto started = parts.server->start();
  if (!started) return fail(started.error());
  return AllInOneStarted{started->port, started->first_password};
}

}  // namespace gantry::app
