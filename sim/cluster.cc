#include "sim/cluster.h"

#include <algorithm>

#include "sim/settled.h"

namespace gantry::sim {
namespace {

constexpr const char* kOwnHostId = "host-000000000001";
constexpr Milliseconds kClearedMs = 20'000;
constexpr Milliseconds kSettleMs = 600'000;
constexpr Milliseconds kLookEveryMs = 2'000;
// Longer than the host takes to look at its pools again.
constexpr Milliseconds kLastRepliesMs = 70'000;
constexpr Milliseconds kQuietMs = 90'000;

}  // namespace

Cluster::Cluster(std::uint64_t seed, const Swarm& drawn, bool calm)
    : rng(seed),
      swarm(drawn),
      stage{.scheduler = scheduler,
            .trace = trace,
            .rng = rng,
            .swarm = swarm,
            .records = records,
            .wishes = wishes,
            .shared_files = &shared_files,
            .calm = calm},
      board(stage),
      client(stage, rng.next(), wishes, kOwnHostId, HostileHost::kName) {
  shared_files.calm = calm;
  shared_files.user_of = [this](const std::string& volume_id) {
    std::string user;
    for (const HostWorld* world : stage.worlds) user += world->user_of(volume_id);
    return user;
  };
  records.set_capacity("", swarm.shared_pool_gib);
}

Cluster::~Cluster() {
  // It tells the machines' links that it is gone.
  manager_.reset();
  machines_.clear();
}

Machine& Cluster::add_machine(const MachineSetup& setup) {
  Machine& machine = *machines_.emplace_back(std::make_unique<Machine>(stage, board, setup));
  if (manager_) machine.set_manager(&manager_->core());
  return machine;
}

void Cluster::add_hostile_host(std::uint64_t seed) {
  hostile_ = std::make_unique<HostileHost>(stage, seed, board);
  if (manager_) hostile_->set_manager(&manager_->core());
  hostile_->join();
}

void Cluster::start() {
  start_manager();
  machines_.front()->be_own_host(kOwnHostId);
}

void Cluster::set_manager(port::Manager* manager) {
  client.set_manager(manager);
  for (const auto& machine : machines_) machine->set_manager(manager);
  if (hostile_) hostile_->set_manager(manager);
}

void Cluster::start_manager() {
  if (manager_) return;
  manager_ = std::make_unique<ManagerProcess>(stage, machines_.front()->world.setup.clock, store_, store_executor_,
                                              board, kOwnHostId);
  set_manager(&manager_->core());
}

void Cluster::crash_manager() {
  if (!manager_) return;
  trace.note("manager", "CRASHES");
  set_manager(nullptr);
  manager_.reset();
  scheduler.at(100 + static_cast<Milliseconds>(rng.below(5'000)), [this] { start_manager(); });
}

void Cluster::lose_power_of_first(bool with_manager) {
  if (with_manager) crash_manager();
  machines_.front()->lose_power();
}

void Cluster::heal() {
  trace.note("WORLD", "heals");
  stage.calm = true;
  shared_files.calm = true;
  for (const auto& machine : machines_) machine->heal();
  client.stop();
  if (hostile_) hostile_->leave(client);
  if (manager_) manager_->set_store_faults({});
}

// ---- time

void Cluster::run_until(Milliseconds time_ms, const std::function<void()>& after_each) {
  bool reached = false;
  scheduler.at(time_ms - scheduler.now().monotonic_ms, [&reached] { reached = true; });
  while (!reached && scheduler.step()) after_each();
}

bool Cluster::is_joining() const {
  const bool on_its_way = std::ranges::any_of(machines_, [](const auto& machine) { return machine->is_joining(); });
  return on_its_way || (hostile_ && hostile_->is_busy());
}

void Cluster::take_leave_of_strays() {
  for (const auto& entry : records.hosts) {
    const std::string& id = entry.first;
    const bool is_machine =
        std::ranges::any_of(machines_, [&id](const auto& machine) { return machine->world.host_id == id; });
    if (is_machine || entry.second.meta().has_deletion() || !strays_.insert(id).second) continue;
    client.clear_out(id, kClearedMs);
  }
}

std::string Cluster::what_is_left_to_do() {
  if (is_joining()) return "machines that have not joined";
  if (!client.idle()) return "calls that are not answered";
  take_leave_of_strays();
  return what_is_missing(stage);
}

void Cluster::run_until_settled() {
  const Milliseconds limit_ms = scheduler.now().monotonic_ms + kSettleMs;
  std::string missing = "?";
  while (!missing.empty() && scheduler.now().monotonic_ms < limit_ms) {
    run_for(kLookEveryMs);
    missing = what_is_left_to_do();
  }
  if (!missing.empty()) trace.violation("long after everything was healed: " + missing);
}

// ---- checks of the whole

std::map<std::string, GuestState> Cluster::live_guests_of_members() const {
  std::map<std::string, GuestState> live;
  for (const auto& machine : machines_) {
    if (machine->is_member()) live.merge(machine->world.live_guests());
  }
  return live;
}

void Cluster::check_power_loss() {
  const auto before = live_guests_of_members();
  lose_power_of_first(rng.chance(1, 2));
  for (const auto& machine : machines_) {
    if (machine != machines_.front()) machine->lose_power();
  }
  run_until_settled();
  const auto after = live_guests_of_members();
  for (const auto& [vm_id, state] : before) {
    const auto found = after.find(vm_id);
    if (found != after.end() && found->second == state) continue;
    trace.violation("guest " + vm_id + " ran before the machine lost its power, and does not run so again");
  }
  for (const auto& [vm_id, state] : after) {
    if (!before.contains(vm_id)) trace.violation("guest " + vm_id + " was off, and a loss of power made it run");
  }
}

void Cluster::check_quiet() {
  run_for(kLastRepliesMs);
  const port::Revision before = records.last_news();
  run_for(kQuietMs);
  if (records.last_news() != before) {
    trace.violation("nothing happens, and still the store is written: at revision " +
                    std::to_string(records.last_news()));
  }
  const std::string missing = what_is_missing(stage);
  if (!missing.empty()) trace.violation("it did not last: " + missing);
  records.check_deletions();
  for (const std::string& task_id : client.accepted()) {
    if (!records.tasks.contains(task_id)) trace.violation("task " + task_id + " was promised and is gone");
  }
}

}  // namespace gantry::sim
