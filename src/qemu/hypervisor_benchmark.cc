// From the call of start() to its answer: the guest's processors run.
#include <benchmark/benchmark.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "model/uid.h"
#include "qemu/test_agent.h"
#include "qemu/test_guest.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

void start_guest(benchmark::State& state) {
  std::string directory = "/tmp/gantry-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr || ::chmod(directory.c_str(), 0711) != 0) std::abort();
  port::GuestDefinition guest;
  guest.vm_id = "vm-4f7k2m9qzt3z";
  guest.memory_mib = static_cast<std::uint32_t>(state.range(0));
  guest.uid = model::guest_uid(guest.vm_id);
  guest.disks = {{.path = directory + "/disk.raw", .format = v1::VolumeSpec::RAW, .volume_id = {}}};
  if (!runtime::write_file_durably(guest.disks[0].path, test_guest_disk()) ||
      ::chown(guest.disks[0].path.c_str(), guest.uid, guest.uid) != 0) {
    std::abort();
  }
  {
    Agent agent(directory);
    int boot = 0;
    for (auto _ : state) {
      guest.boot_id = "task-" + std::to_string(boot++);
      if (const auto started = agent.start(guest); !started) state.SkipWithError(started.error().to_text().c_str());
      state.PauseTiming();
      if (!agent.kill(guest.vm_id)) state.SkipWithError("cannot kill");
      state.ResumeTiming();
    }
  }
  std::filesystem::remove_all(directory);
}
BENCHMARK(start_guest)->Arg(256)->Iterations(10)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace gantry::qemu
