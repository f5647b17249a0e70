#include "sim/swarm.h"

#include <array>

namespace gantry::sim {
namespace {

// Half of the seeds do without; the others draw from `least` to `most`.
std::uint64_t maybe(Rng& rng, std::uint64_t least, std::uint64_t most) {
  return rng.chance(1, 2) ? 0 : least + rng.below(most - least + 1);
}

store::FaultRates draw_store(Rng& rng) {
  store::FaultRates rates;
  const auto rate = [&rng](std::uint64_t most) { return static_cast<std::uint32_t>(maybe(rng, 1, most)); };
  rates.commit_unavailable = rate(100);
  rates.commit_unknown_done = rate(100);
  rates.commit_unknown_not_done = rate(100);
  rates.commit_unknown_later = rate(50);
  rates.late = rate(300);
  rates.other_unavailable = rate(100);
  rates.watch_broken = rate(30);
  rates.delay_ms_max = 1 + static_cast<Milliseconds>(rng.below(3'000));
  return rates;
}

// Few in most: what takes many machines to happen is rare, and each costs its time.
std::size_t draw_machines(Rng& rng) {
  constexpr std::array<std::uint64_t, kMachinesMax> kUpTo = {35, 70, 86, 95, 100};
  const std::uint64_t drawn = rng.below(100);
  std::size_t machines = 1;
  while (drawn >= kUpTo[machines - 1]) ++machines;
  return machines;
}

}  // namespace

Swarm draw_swarm(Rng& rng) {
  Swarm swarm;
  swarm.machines = draw_machines(rng);
  // One part in a hundred.
  swarm.drift_ppm_max = static_cast<std::int64_t>(maybe(rng, 100, 10'000));
  swarm.date_off_ms_max = static_cast<Milliseconds>(maybe(rng, 100, 7'200'000));
  swarm.chaos_ms = 20'000 + static_cast<Milliseconds>(rng.below(100'000));
  swarm.agent_crash_every = maybe(rng, 50, 1'500);
  swarm.manager_crash_every = maybe(rng, 100, 2'000);
  swarm.power_loss_every = maybe(rng, 500, 5'000);
  swarm.pool_comes_late = maybe(rng, 100, 900);
  swarm.link_break_every = maybe(rng, 50, 1'000);
  swarm.file_damage_every = rng.chance(1, 4) ? 500 + rng.below(3'000) : 0;
  swarm.trouble_every = maybe(rng, 200, 3'000);
  swarm.trouble_ms_max = static_cast<Milliseconds>(1'000 + rng.below(rng.chance(1, 4) ? 300'000 : 30'000));
  swarm.leaves = maybe(rng, 200, 1'000);
  swarm.losses = maybe(rng, 5, 150);
  swarm.duplicates = maybe(rng, 10, 300);
  swarm.transient_errors = maybe(rng, 10, 250);
  swarm.definite_errors = maybe(rng, 5, 100);
  swarm.slow_calls = maybe(rng, 10, 300);
  swarm.ignores_acpi = maybe(rng, 50, 900);
  swarm.guest_powers_off = maybe(rng, 50, 400);
  swarm.guest_crashes = maybe(rng, 50, 400);
  swarm.disk_fills = maybe(rng, 50, 400);
  swarm.pause_ms_max = 100 + static_cast<Milliseconds>(rng.below(3'000) / swarm.machines);
  swarm.repeats = maybe(rng, 50, 300);
  if (rng.chance(2, 3)) swarm.store = draw_store(rng);
  if (rng.chance(1, 3)) swarm.hostile_seed = rng.next();
  swarm.has_rule = rng.chance(1, 2);
  swarm.shared_pool = rng.chance(1, 2);
  swarm.shared_pool_gib = rng.chance(1, 3) ? 4 + rng.below(10) : 1'000;
  // What a machine that lies has a part in is for no guest of others.
  swarm.moves = swarm.machines > 1 && swarm.hostile_seed == 0 && rng.chance(2, 3);
  swarm.shared_pool = swarm.shared_pool || swarm.moves;
  swarm.sentinel_crash_every = maybe(rng, 100, 2'000);
  swarm.lease_errors = maybe(rng, 1, 150);
  return swarm;
}

}  // namespace gantry::sim
