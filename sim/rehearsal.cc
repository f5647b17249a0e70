#include "sim/rehearsal.h"

#include "sim/settled.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kBeforeChaosMs = 3'000;
constexpr Milliseconds kSettleMs = 600'000;
constexpr Milliseconds kLookEveryMs = 2'000;
// Longer than the host takes to look at its pools again.
constexpr Milliseconds kLastRepliesMs = 70'000;
constexpr Milliseconds kQuietMs = 90'000;

}  // namespace

Rehearsal::Rehearsal(std::uint64_t seed)
    : seed_(seed),
      rng_(seed),
      swarm_(draw_swarm(rng_)),
      client_(scheduler_, trace_, rng_.next(), swarm_, records_, wishes_) {
  world_.shared_files = &shared_files_;
  shared_files_.user_of = [this](const std::string& volume_id) { return world_.user_of(volume_id); };
  if (swarm_.hostile_seed != 0) {
    hostile_ = std::make_unique<HostileHost>(scheduler_, trace_, swarm_.hostile_seed, records_, link_);
  }
}

Rehearsal::~Rehearsal() {
  agent_.reset();
  manager_.reset();
  faulty_store_.reset();
}

void Rehearsal::set_manager(port::Manager* manager) {
  client_.set_manager(manager);
  if (hostile_) hostile_->set_manager(manager);
}

void Rehearsal::start_manager() {
  if (manager_) return;
  trace_.note("manager", "starts");
  const std::uint64_t seed = rng_.next();
  manager_executor_ = std::make_unique<SimExecutor>(scheduler_);
  faulty_store_ = std::make_unique<store::FaultyStore>(store_, store_executor_, rng_.next());
  if (!healed_) faulty_store_->set_rates(swarm_.store);
  control::ManagerOptions options;
  options.seed = seed;
  options.default_pool_path = "/pool";
  options.own_hosts = {kHostId};
  manager_ = std::make_unique<control::ManagerCore>(*faulty_store_, link_.manager_end(), *manager_executor_, options);
  manager_->start();
  set_manager(manager_.get());
  link_.manager_up(true);
}

void Rehearsal::crash_manager() {
  if (!manager_) return;
  trace_.note("manager", "CRASHES");
  set_manager(nullptr);
  link_.manager_up(false);
  manager_.reset();
  faulty_store_.reset();
  manager_executor_.reset();
  scheduler_.at(100 + static_cast<Milliseconds>(rng_.below(5'000)), [this] { start_manager(); });
}

void Rehearsal::start_agent() {
  if (agent_) return;
  trace_.note("agent", "starts");
  host::Options options;
  options.host_id = kHostId;
  options.host_name = "alpha";
  options.recipes = {"debian-12"};
  options.incarnation = ++agent_runs_;
  options.log = [this](std::string_view line) { trace_.note("agent", line); };
  agent_ = std::make_unique<Agent>(scheduler_, trace_, rng_, swarm_, world_, shared_files_, link_, options);
  link_.host_up(true);
}

void Rehearsal::crash_agent() {
  if (!agent_) return;
  trace_.note("agent", "CRASHES");
  link_.host_up(false);
  agent_.reset();
  scheduler_.at(100 + static_cast<Milliseconds>(rng_.below(5'000)), [this] { start_agent(); });
}

void Rehearsal::lose_power() {
  // The manager is on the same machine, or on another.
  if (rng_.chance(1, 2)) crash_manager();
  crash_agent();
  world_.lose_power();
}

// After any event, so between any two steps of anybody.
void Rehearsal::perhaps_fail() {
  const auto happens = [this](std::uint64_t every) { return every != 0 && rng_.chance(1, every); };
  if (happens(swarm_.agent_crash_every)) crash_agent();
  if (happens(swarm_.manager_crash_every)) crash_manager();
  if (happens(swarm_.link_break_every)) link_.break_connection();
  if (happens(swarm_.file_damage_every)) world_.damage_a_file();
  if (happens(swarm_.sentinel_crash_every)) world_.sentinel.crash();
  if (happens(swarm_.power_loss_every)) lose_power();
}

void Rehearsal::run_until(Milliseconds time_ms, bool with_faults) {
  bool reached = false;
  scheduler_.at(time_ms - scheduler_.now().monotonic_ms, [&reached] { reached = true; });
  while (!reached && scheduler_.step()) {
    if (with_faults) perhaps_fail();
  }
}

void Rehearsal::heal() {
  trace_.note("WORLD", "heals");
  healed_ = true;
  world_.calm = true;
  shared_files_.calm = true;
  world_.sentinel.calm = true;
  world_.mount_pool();
  client_.stop();
  if (hostile_) hostile_->leave(client_);
  link_.set_duplicates(0);
  if (faulty_store_) faulty_store_->set_rates({});
}

void Rehearsal::run_until_settled() {
  const Milliseconds limit_ms = scheduler_.now().monotonic_ms + kSettleMs;
  std::string missing = "?";
  while (!missing.empty() && scheduler_.now().monotonic_ms < limit_ms) {
    run_until(scheduler_.now().monotonic_ms + kLookEveryMs, false);
    const bool answered = client_.idle() && (!hostile_ || hostile_->settled());
    missing = answered ? what_is_missing(records_, world_) : "calls that are not answered";
  }
  if (!missing.empty()) trace_.violation("long after everything was healed: " + missing);
}

void Rehearsal::check_power_loss() {
  const auto before = world_.live_guests();
  lose_power();
  run_until_settled();
  const auto after = world_.live_guests();
  for (const auto& [vm_id, state] : before) {
    const auto found = after.find(vm_id);
    if (found != after.end() && found->second == state) continue;
    trace_.violation("guest " + vm_id + " ran before the machine lost its power, and does not run so again");
  }
  for (const auto& [vm_id, state] : after) {
    if (!before.contains(vm_id)) trace_.violation("guest " + vm_id + " was off, and a loss of power made it run");
  }
}

void Rehearsal::check_quiet() {
  run_until(scheduler_.now().monotonic_ms + kLastRepliesMs, false);
  const port::Revision before = records_.last_news();
  run_until(scheduler_.now().monotonic_ms + kQuietMs, false);
  if (records_.last_news() != before) {
    trace_.violation("nothing happens, and still the store is written: at revision " +
                     std::to_string(records_.last_news()));
  }
  const std::string missing = what_is_missing(records_, world_);
  if (!missing.empty()) trace_.violation("it did not last: " + missing);
  records_.check_deletions();
  for (const std::string& task_id : client_.accepted()) {
    if (!records_.tasks.contains(task_id)) trace_.violation("task " + task_id + " was promised and is gone");
  }
}

Report Rehearsal::run() {
  start_manager();
  start_agent();
  run_until(kBeforeChaosMs, false);
  link_.set_duplicates(swarm_.duplicates);
  client_.start();
  if (hostile_) hostile_->join();
  run_until(kBeforeChaosMs + swarm_.chaos_ms, true);
  heal();
  run_until_settled();
  if (trace_.violations().empty()) check_power_loss();
  if (trace_.violations().empty()) check_quiet();
  Report report;
  report.seed = seed_;
  report.digest = trace_.digest();
  report.events = scheduler_.events();
  report.tasks = records_.tasks.size();
  report.violations = trace_.violations();
  report.timeline = trace_.lines();
  return report;
}

}  // namespace gantry::sim
