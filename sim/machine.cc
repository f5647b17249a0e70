#include "sim/machine.h"

#include <algorithm>

namespace gantry::sim {

Machine::Machine(Stage& stage, Switchboard& board, MachineSetup setup)
    : world(stage, setup),
      link(stage, board, setup.name),
      stage_(stage),
      joiner_(stage, {.name = setup.name, .pool_path = setup.pool_path},
              [this](const std::string& host_id) { become(host_id, false); }) {}

Machine::~Machine() = default;

bool Machine::is_member() const { return stage_.records.hosts.contains(world.host_id); }

std::string Machine::host_name() const {
  const auto host = stage_.records.hosts.find(world.host_id);
  return host == stage_.records.hosts.end() ? std::string() : host->second.meta().name();
}

void Machine::join() {
  if (is_member() || joiner_.is_busy()) return;
  if (agent_) link.host_up(false);
  agent_.reset();
  if (!world.guests.empty()) world.wipe();
  // Nobody knows yet that it had one: its pool would rightly be made where it is not mounted.
  world.mount_pool();
  world.networks.clear();
  joiner_.start();
}

void Machine::become(const std::string& host_id, bool own) {
  world.host_id = host_id;
  world.keep_from_before();
  stage_.records.set_capacity(host_id, world.setup.pool_capacity_gib);
  link.become(host_id, own);
  start_agent();
}

void Machine::start_agent() {
  if (agent_ || world.host_id.empty() || joiner_.is_busy()) return;
  stage_.trace.note("agent", name() + " starts");
  host::Options options;
  options.host_id = world.host_id;
  options.host_name = name();
  options.recipes = {"debian-12"};
  options.incarnation = ++agent_runs_;
  options.log = [this](std::string_view line) { stage_.trace.note("agent", name() + ": " + std::string(line)); };
  agent_ = std::make_unique<Agent>(stage_, world, link, options);
  link.host_up(true);
}

void Machine::crash_agent() {
  if (!agent_) return;
  stage_.trace.note("agent", name() + " CRASHES");
  link.host_up(false);
  agent_.reset();
  stage_.scheduler.at(100 + static_cast<Milliseconds>(stage_.rng.below(5'000)), [this] { start_agent(); });
}

void Machine::lose_power() {
  crash_agent();
  world.lose_power();
}

void Machine::cut_off(Cut way, Milliseconds for_ms) {
  link.cut(way);
  stage_.scheduler.at(for_ms, [this, cut = ++cuts_] {
    if (cut == cuts_) link.mend();
  });
}

void Machine::slow_disk(Milliseconds for_ms) {
  stage_.trace.note("HOST", name() + ": its disk is SLOW");
  world.disk_slow_until_ms = stage_.scheduler.now().monotonic_ms + for_ms;
}

void Machine::fail_disk(Milliseconds for_ms) {
  stage_.trace.note("HOST", name() + ": its disk FAILS");
  world.disk_fails_until_ms = stage_.scheduler.now().monotonic_ms + for_ms;
}

void Machine::heal() {
  world.calm = true;
  world.sentinel.calm = true;
  world.disk_slow_until_ms = world.disk_fails_until_ms = 0;
  world.mount_pool();
  ++cuts_;
  link.mend();
}

}  // namespace gantry::sim
