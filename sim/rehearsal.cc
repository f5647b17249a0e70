#include "sim/rehearsal.h"

#include <array>

namespace gantry::sim {
namespace {

constexpr Milliseconds kBeforeChaosMs = 3'000;
constexpr std::array<const char*, kMachinesMax> kNames = {"alpha", "bravo", "carol", "delta", "echo"};

}  // namespace

Rehearsal::Rehearsal(std::uint64_t seed) : Rehearsal(seed, Rng(seed)) {}

Rehearsal::Rehearsal(std::uint64_t seed, Rng rng)
    : seed_(seed), cluster_(seed, draw_swarm(rng), false), rng_(cluster_.rng), swarm_(cluster_.swarm) {
  add_machines();
}

void Rehearsal::add_machines() {
  for (std::size_t i = 0; i < swarm_.machines; ++i) {
    const auto either_way = [this](std::int64_t most) {
      return static_cast<std::int64_t>(rng_.below(2 * static_cast<std::uint64_t>(most) + 1)) - most;
    };
    const std::int64_t drift_ppm = either_way(swarm_.drift_ppm_max);
    const Milliseconds ahead_ms = either_way(swarm_.date_off_ms_max);
    cluster_.add_machine({.name = kNames[i],
                          .pool_path = "/pool",
                          .memory_mib = rng_.chance(i == 0 ? 1 : 2, 3) ? 3'072U : 16'384U,
                          .pool_capacity_gib = rng_.chance(1, 3) ? 4 + rng_.below(10) : 1'000,
                          .clock = MachineClock(drift_ppm, ahead_ms)});
  }
}

Machine& Rehearsal::some_machine() { return *cluster_.machines()[rng_.below(cluster_.machines().size())]; }

// ---- hosts come and go

void Rehearsal::plan_memberships() {
  for (const auto& machine : cluster_.machines()) {
    if (machine == cluster_.machines().front()) continue;
    const auto range = static_cast<std::uint64_t>(rng_.chance(1, 2) ? 2'000 : swarm_.chaos_ms / 2);
    cluster_.scheduler.at(static_cast<Milliseconds>(rng_.below(range)), [this, &machine = *machine] {
      if (!cluster_.stage.calm) machine.join();
      come_and_go(machine);
    });
  }
}

// Users who want to be rid of a host clear it out first; its machine may come again.
void Rehearsal::come_and_go(Machine& machine) {
  if (!rng_.chance(swarm_.leaves, 1'000)) return;
  const auto range = static_cast<std::uint64_t>(swarm_.chaos_ms);
  cluster_.scheduler.at(static_cast<Milliseconds>(rng_.below(range)), [this, &machine] {
    if (cluster_.stage.calm || !machine.is_member()) return;
    cluster_.trace.note("WORLD", machine.name() + " is to leave");
    cluster_.client.clear_out(machine.world.host_id, static_cast<Milliseconds>(rng_.below(40'000)));
    if (rng_.chance(1, 3)) machine.cut_off(Cut::both, static_cast<Milliseconds>(rng_.below(90'000)));
  });
  cluster_.scheduler.at(static_cast<Milliseconds>(rng_.below(2 * range)), [this, &machine] {
    if (cluster_.stage.calm || machine.is_member()) return;
    machine.join();
    come_and_go(machine);
  });
}

// ---- faults

void Rehearsal::fail_a_machine() {
  Machine& machine = some_machine();
  const auto for_ms = static_cast<Milliseconds>(rng_.below(static_cast<std::uint64_t>(swarm_.trouble_ms_max)));
  switch (rng_.below(6)) {
    case 0: return machine.cut_off(Cut::both, for_ms);
    case 1: return machine.cut_off(Cut::to_host, for_ms);
    case 2: return machine.cut_off(Cut::to_manager, for_ms);
    case 3: return machine.slow_disk(for_ms);
    case 4: return machine.fail_disk(for_ms);
    default: return machine.link.break_connection();
  }
}

void Rehearsal::perhaps_fail() {
  const auto happens = [this](std::uint64_t every) { return every != 0 && rng_.chance(1, every); };
  if (happens(swarm_.agent_crash_every)) some_machine().crash_agent();
  if (happens(swarm_.manager_crash_every)) cluster_.crash_manager();
  if (happens(swarm_.link_break_every)) some_machine().link.break_connection();
  if (happens(swarm_.file_damage_every)) some_machine().world.damage_a_file();
  if (happens(swarm_.sentinel_crash_every)) some_machine().world.sentinel.crash();
  if (happens(swarm_.trouble_every)) fail_a_machine();
  if (!happens(swarm_.power_loss_every)) return;
  Machine& machine = some_machine();
  if (&machine != cluster_.machines().front().get()) return machine.lose_power();
  // The manager is on the same machine, or on another.
  cluster_.lose_power_of_first(rng_.chance(1, 2));
}

Report Rehearsal::run() {
  cluster_.start();
  cluster_.run_for(kBeforeChaosMs);
  cluster_.client.start();
  if (swarm_.hostile_seed != 0) cluster_.add_hostile_host(swarm_.hostile_seed);
  plan_memberships();
  cluster_.run_until(kBeforeChaosMs + swarm_.chaos_ms, [this] { perhaps_fail(); });
  cluster_.heal();
  cluster_.run_until_settled();
  const Trace& trace = cluster_.trace;
  if (trace.violations().empty()) cluster_.check_power_loss();
  if (trace.violations().empty()) cluster_.check_quiet();
  Report report;
  report.seed = seed_;
  report.digest = trace.digest();
  report.events = cluster_.scheduler.events();
  report.tasks = cluster_.records.tasks.size();
  report.violations = trace.violations();
  report.timeline = trace.lines();
  return report;
}

}  // namespace gantry::sim
