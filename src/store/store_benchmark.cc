// Durable small writes a second: the SQLite store with 64 writers at once, beside what one sync for each write gives on
// the same disk in the same run. GANTRY_BENCHMARK_DIR names the directory to write in; else a new one in /var/tmp, for
// /tmp may be memory.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "store/sqlite_store.h"

namespace gantry::store {
namespace {

constexpr int kWriters = 64;
constexpr int kWritesEach = 100;
constexpr std::size_t kValueBytes = 200;

class ScratchDirectory {
 public:
  ScratchDirectory() {
    const char* given = std::getenv("GANTRY_BENCHMARK_DIR");
    path_ = std::string(given != nullptr ? given : "/var/tmp") + "/gantry-benchmark-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The peer: append, fdatasync, append...; writes a second.
double synced_appends_per_second(const std::string& path, int writes) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  const std::string record(kValueBytes, 'x');
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < writes; ++i) {
    if (::write(file.get(), record.data(), record.size()) < 0 || ::fdatasync(file.get()) != 0) std::abort();
  }
  return writes / seconds_since(start);
}

std::unique_ptr<port::Store> open(const std::string& path) {
  SqliteStoreOptions options;
  options.path = path;
  options.clock = [] { return Now{}; };
  auto store = open_sqlite_store(std::move(options));
  if (!store) {
    std::fprintf(stderr, "%s\n", store.error().to_text().c_str());
    std::abort();
  }
  return std::move(*store);
}

void write_durably(port::Store& store, const std::string& key, int number) {
  std::promise<bool> committed;
  store.commit({{}, {{port::Write::Kind::put, key, std::string(kValueBytes, static_cast<char>('a' + number % 26)), 0}}},
               [&committed](const port::CommitResult& result) {
                 committed.set_value(result.outcome == port::CommitOutcome::committed);
               });
  if (!committed.get_future().get()) std::abort();
}

double resident_mib() {
  std::ifstream statm("/proc/self/statm");
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1024 * 1024);
}

void sqlite_store_64_writers(benchmark::State& state) {
  const ScratchDirectory directory;
  const double peer = synced_appends_per_second(directory.file("peer"), 200);
  const auto store = open(directory.file("store.db"));
  const double before_mib = resident_mib();
  double seconds = 0;
  double writes = 0;
  for ([[maybe_unused]] auto turn : state) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> writers;
    for (int writer = 0; writer < kWriters; ++writer) {
      writers.emplace_back([&store, writer] {
        const std::string prefix = "/vm/" + std::to_string(writer) + "/";
        for (int i = 0; i < kWritesEach; ++i) write_durably(*store, prefix + std::to_string(i), i);
      });
    }
    for (std::thread& writer : writers) writer.join();
    seconds += seconds_since(start);
    writes += kWriters * kWritesEach;
  }
  state.counters["writes_per_s"] = writes / seconds;
  state.counters["peer_writes_per_s"] = peer;
  state.counters["times_peer"] = writes / seconds / peer;
  state.counters["resident_growth_mib"] = resident_mib() - before_mib;
}
BENCHMARK(sqlite_store_64_writers)->Iterations(5)->UseRealTime()->Unit(benchmark::kMillisecond);

void sqlite_store_1_writer(benchmark::State& state) {
  const ScratchDirectory directory;
  const auto store = open(directory.file("store.db"));
  int number = 0;
  for ([[maybe_unused]] auto turn : state) write_durably(*store, "/vm/1", ++number);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(sqlite_store_1_writer)->Iterations(200)->UseRealTime()->Unit(benchmark::kMillisecond);

void peer_append_and_fdatasync(benchmark::State& state) {
  const ScratchDirectory directory;
  for ([[maybe_unused]] auto turn : state) synced_appends_per_second(directory.file("peer"), 1);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(peer_append_and_fdatasync)->Iterations(200)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace gantry::store
