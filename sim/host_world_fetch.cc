// Guests that went by postcopy: the process at the target fetches what it misses of the memory from the one at the
// source. Both go on without agents, and neither without the other.
#include <algorithm>
#include <utility>

#include "sim/host_world.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kLookAgainMs = 1'000;
// A connection that is silent is ended by then.
constexpr Milliseconds kSilentMs = 10'000;

}  // namespace

std::vector<HostWorld*> HostWorld::fetchers(const std::string& vm_id, const std::string& secret) const {
  std::vector<HostWorld*> both;
  for (HostWorld* world : worlds_) {
    const auto guest = world->guests.find(vm_id);
    if (guest == world->guests.end() || !lives(guest->second)) continue;
    if (guest->second.fetching && guest->second.move_secret == secret) both.push_back(world);
  }
  return both;
}

// Everything that it needs to go on is there, and of its memory some.
void HostWorld::begin_fetch(const std::string& vm_id, HostWorld& target) {
  ModelGuest& guest = guests.at(vm_id);
  guest.fetching = true;
  target.guests.at(vm_id).fetching = true;
  note("guest", vm_id + " goes before its memory is with " + target.setup.name);
  const bool slow = !calm && rng_.chance(swarm_.slow_calls, 1'000);
  const auto takes_ms = static_cast<Milliseconds>(500 + rng_.below(slow ? 40'000 : 3'000));
  look_at_fetch(vm_id, guest.move_secret, scheduler_.now().monotonic_ms + takes_ms);
}

void HostWorld::look_at_fetch(const std::string& vm_id, const std::string& secret, Milliseconds ends_ms) {
  scheduler_.at(std::min(kLookAgainMs, std::max<Milliseconds>(1, ends_ms - scheduler_.now().monotonic_ms)),
                [this, vm_id, secret, ends_ms] {
                  const auto both = fetchers(vm_id, secret);
                  if (both.size() < 2) return break_fetch(vm_id, secret);
                  const bool frozen = std::ranges::any_of(
                      both, [&vm_id](const HostWorld* world) { return world->guests.at(vm_id).frozen; });
                  if (!calm && rng_.chance(swarm_.transient_errors + (frozen ? 100 : 0), 5'000)) {
                    return break_fetch(vm_id, secret);
                  }
                  if (frozen || scheduler_.now().monotonic_ms < ends_ms) return look_at_fetch(vm_id, secret, ends_ms);
                  for (HostWorld* world : both) {
                    world->guests.at(vm_id).fetching = false;
                    world->note("guest", vm_id + " has all of its memory at the target");
                    world->changed(vm_id);
                  }
                });
}

// Whoever is left of the two notices in its own time, and ends: it has part of the guest alone.
void HostWorld::break_fetch(const std::string& vm_id, const std::string& secret) {
  for (HostWorld* world : fetchers(vm_id, secret)) {
    const auto notices_ms = static_cast<Milliseconds>(rng_.below(kSilentMs));
    scheduler_.at(notices_ms, [world, vm_id, process = world->guests.at(vm_id).process] {
      const ModelGuest* guest = world->guest_of(vm_id, process);
      if (guest == nullptr || !lives(*guest) || !guest->fetching) return;
      world->note("guest", vm_id + " is lost: its memory was in two places");
      if (guest->state == GuestState::received || guest->state == GuestState::receiving) {
        world->end_receive(vm_id, process);
      } else {
        world->end(vm_id, v1::VmExit::CRASH);
      }
    });
  }
}

// At the source. False: the other process has part of it already, and is gone.
bool HostWorld::end_fetch_to_go_on(const std::string& vm_id) {
  ModelGuest& guest = guests.at(vm_id);
  if (!guest.fetching) return true;
  const auto both = fetchers(vm_id, guest.move_secret);
  if (both.size() < 2) {
    end(vm_id, v1::VmExit::CRASH);
    return false;
  }
  guest.fetching = false;
  break_fetch(vm_id, guest.move_secret);
  return true;
}

}  // namespace gantry::sim
