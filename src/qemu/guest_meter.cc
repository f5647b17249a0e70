// What guests and their host have used: port::Meters, of all guests and of each.
#include <nlohmann/json.hpp>
#include <utility>

#include "qemu/command_line.h"
#include "qemu/guest.h"
#include "qemu/guest_counters.h"
#include "qemu/host_counters.h"
#include "qemu/hypervisor.h"
#include "runtime/event_loop.h"
#include "runtime/worker_pool.h"

namespace gantry::qemu {
namespace {

constexpr Milliseconds kPatienceMs = 2'000;
// For all of them together.
constexpr Milliseconds kPatienceWithAllMs = 4'000;
// More often than anybody measures: what was told before is told apart by its time.
constexpr int kAskMemoryEveryS = 5;

// Of a property of its balloon; `value` only to set it.
std::string of_balloon(const char* property, std::optional<int> value = std::nullopt) {
  nlohmann::ordered_json arguments = {{"path", std::string("/machine/peripheral/") + kBalloon}, {"property", property}};
  if (value) arguments["value"] = *value;
  return arguments.dump();
}

}  // namespace

struct Guest::Count {
  std::function<void(std::optional<port::GuestCounters>)> done;
  std::optional<port::DiskCounters> disk = {};
  std::optional<std::uint64_t> memory_used_bytes = {};
};

void Guest::count(std::function<void(std::optional<port::GuestCounters>)> done) {
  if (process_ != Process::alive || !record_) return done(std::nullopt);
  const auto count = std::make_shared<Count>(Count{.done = std::move(done)});
  engine_->loop.post_after(kPatienceMs, [weak = weak_from_this(), count] {
    if (const auto self = weak.lock()) self->finish_count(count);
  });
  command("query-cpus-fast", [this](const Result<std::string>& reply) {
    if (reply) processor_threads_ = processor_threads_in(*reply);
  });
  command(
      "qom-get",
      [this, count](const Result<std::string>& reply) {
        if (reply) count->memory_used_bytes = take_memory(*reply);
      },
      of_balloon("guest-stats"));
  command("query-blockstats", [this, count](const Result<std::string>& reply) {
    if (reply) count->disk = disk_counters_in(*reply);
    finish_count(count);
  });
}

// Nothing: the guest has told nothing since. Then QEMU is to ask it, as of a new process or of one that came from
// another host; one that does already goes on.
std::optional<std::uint64_t> Guest::take_memory(const std::string& reply) {
  const auto memory = guest_memory_in(reply);
  if (!memory) return std::nullopt;
  if (std::exchange(memory_told_unix_, memory->told_unix) != memory->told_unix) return memory->used_bytes;
  command(
      "qom-set", [](const auto&) {}, of_balloon("guest-stats-polling-interval", kAskMemoryEveryS));
  return std::nullopt;
}

// By its answer or without it.
void Guest::finish_count(const std::shared_ptr<Count>& count) {
  auto done = std::exchange(count->done, nullptr);
  if (!done) return;
  if (process_ != Process::alive || !record_) return done(std::nullopt);
  const std::string process = std::to_string(record_->pid) + " " + std::to_string(record_->pid_start_ticks);
  // Beside the jobs that change it: it waits for none of them.
  submit([pid = record_->pid, threads = processor_threads_, vm_id = vm_id_, process, disk = count->disk,
          memory_used = count->memory_used_bytes, done = std::move(done)]() -> std::function<void()> {
    port::GuestCounters counters = read_guest_counters(pid, threads);
    counters.vm_id = vm_id;
    counters.process = process;
    counters.disk = disk;
    counters.memory_used_bytes = memory_used;
    return [done, counters = std::move(counters)] { done(counters); };
  });
}

// ---- all of them

struct QemuHypervisor::MeterRound {
  std::function<void(port::Counters)> done;
  port::Counters counters = {};
  // Answers that are still to come: the guests' and the host's.
  std::size_t left = 0;

  void answer() {
    if (auto waiting = std::exchange(done, nullptr)) waiting(std::move(counters));
  }
  void one_came() {
    if (--left == 0) answer();
  }
};

void QemuHypervisor::read(std::function<void(port::Counters)> done) {
  const auto round = std::make_shared<MeterRound>(MeterRound{.done = std::move(done)});
  round->left = guests_.size() + 1;
  engine_->loop.post_after(kPatienceWithAllMs, [round] { round->answer(); });
  for (const auto& [vm_id, guest] : guests_) {
    guest->count([round](std::optional<port::GuestCounters> counters) {
      if (counters) round->counters.guests.push_back(std::move(*counters));
      round->one_came();
    });
  }
  engine_->workers.submit([engine = engine_, round] {
    engine->loop.post([round, host = read_host_counters()] {
      round->counters.host = host;
      round->one_came();
    });
  });
}

}  // namespace gantry::qemu
