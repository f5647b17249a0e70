// How long a card takes to be attached and detached, and what of that is nft alone. In a namespace of its own.
#include <benchmark/benchmark.h>
#include <sched.h>
#include <stdlib.h>

#include <filesystem>

#include "network/driver.h"
#include "network/test_records.h"
#include "runtime/process.h"

namespace gantry::network {
namespace {

// A host with a NAT network, and `others` cards attached to it.
class Host {
 public:
  explicit Host(int others) {
    std::string pattern = "/tmp/gantry-network-XXXXXX";
    if (::unshare(CLONE_NEWNET) != 0 || ::mkdtemp(pattern.data()) == nullptr) return;
    directory_ = pattern;
    std::filesystem::permissions(directory_, std::filesystem::perms(0755));
    driver = std::make_unique<Driver>(directory_, DriverOptions{});
    ready = driver->ensure_network(nat_network("net-4f7k2m9qzt3x", "10.64.0.0/16")).has_value();
    for (int i = 0; i < others && ready; ++i) {
      std::string id = std::to_string(i);
      id = "vm-" + std::string(12 - id.size(), '0') + id;
      ready = driver->attach(request_for(id, i + 10)).has_value();
      vms_.push_back(id);
    }
  }
  ~Host() {
    if (!driver) return;
    for (const auto& id : vms_) static_cast<void>(driver->detach(id));
    static_cast<void>(driver->remove_network(nat_network()));
    std::filesystem::remove_all(directory_);
  }
  static port::NicRequest request_for(const std::string& vm_id, int number) {
    const std::string address = "10.64." + std::to_string(number / 250) + "." + std::to_string(number % 250 + 2);
    auto request = nic_request(vm_id, "web", address, nat_network("net-4f7k2m9qzt3x", "10.64.0.0/16"));
    return request;
  }
  std::unique_ptr<Driver> driver;
  bool ready = false;

 private:
  std::string directory_;
  std::vector<std::string> vms_;
};

void attach(benchmark::State& state) {
  Host host(static_cast<int>(state.range(0)));
  if (!host.ready) return state.SkipWithError("cannot make a network: this needs root");
  auto request = Host::request_for(kWeb, 5000);
  for (auto _ : state) {
    if (!host.driver->attach(request)) state.SkipWithError("cannot attach");
    state.PauseTiming();
    if (!host.driver->detach(kWeb)) state.SkipWithError("cannot detach");
    state.ResumeTiming();
  }
}
BENCHMARK(attach)->Arg(0)->Arg(50)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(50);

void detach(benchmark::State& state) {
  Host host(static_cast<int>(state.range(0)));
  if (!host.ready) return state.SkipWithError("cannot make a network: this needs root");
  auto request = Host::request_for(kWeb, 5000);
  for (auto _ : state) {
    state.PauseTiming();
    if (!host.driver->attach(request)) state.SkipWithError("cannot attach");
    state.ResumeTiming();
    if (!host.driver->detach(kWeb)) state.SkipWithError("cannot detach");
  }
}
BENCHMARK(detach)->Arg(0)->Arg(50)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(50);

void list_tables_by_nft(benchmark::State& state) {
  Host host(0);
  for (auto _ : state) {
    if (!runtime::run_process({.argv = {"nft", "list", "tables"}})) state.SkipWithError("nft does not run");
  }
}
BENCHMARK(list_tables_by_nft)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(50);

}  // namespace
}  // namespace gantry::network
