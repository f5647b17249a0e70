#include "sim/agent.h"

#include "sim/agent_calls.h"

namespace gantry::sim {

Agent::Agent(Stage& stage, HostWorld& world, port::HostLink& link, const host::Options& options)
    : scheduler_(stage.scheduler),
      trace_(stage.trace),
      rng_(stage.rng),
      swarm_(stage.swarm),
      world_(world),
      shared_(*stage.shared_files),
      executor_(stage.scheduler, world.setup.clock) {
  world_.guest_changed = [this](const std::string& vm_id) {
    executor_.post([this, observation = world_.observation_of(vm_id)] {
      if (observer_) observer_(observation);
    });
  };
  hear_of_moves();
  hear_of_copies();
  core_ = std::make_unique<host::HostCore>(host::Ports{.executor = executor_,
                                                       .link = link,
                                                       .hypervisor = *this,
                                                       .mover = *this,
                                                       .copier = *this,
                                                       .facts = *this,
                                                       .storage = *this,
                                                       .network = *this,
                                                       .sentinel = *this,
                                                       .meters = *this},
                                           options);
  core_->start();
}

Agent::~Agent() {
  core_.reset();
  world_.guest_changed = {};
  world_.send_goes_on = {};
  world_.send_ended = {};
  world_.copy_ended = {};
  world_.sentinel.observer = {};
  world_.sentinel.restarted = {};
  for (const auto& [call, when_crashed] : under_way_) {
    if (when_crashed) when_crashed();
  }
}

Agent::Fault Agent::draw_fault() {
  if (world_.calm) return Fault::none;
  if (rng_.chance(swarm_.transient_errors, 1'000)) return Fault::transient;
  return rng_.chance(swarm_.definite_errors, 1'000) ? Fault::definite : Fault::none;
}

Milliseconds Agent::draw_delay(Milliseconds usual_ms) {
  const bool slow = !world_.calm && rng_.chance(swarm_.slow_calls, 1'000);
  return 1 + static_cast<Milliseconds>(rng_.below(static_cast<std::uint64_t>(slow ? usual_ms + 20'000 : usual_ms)));
}

Error Agent::error_of(Fault fault) {
  if (fault == Fault::transient) return {.code = ErrorCode::unavailable, .summary = "the rehearsal wanted it to fail"};
  return {.code = ErrorCode::internal, .summary = "the rehearsal wanted it to fail for good"};
}

void Agent::cut_short(const std::string& object) {
  const auto making = making_.find(object);
  if (making != making_.end()) making->second();
}

// ---- hypervisor

void Agent::observe(std::function<void(const port::GuestObservation&)> observer, std::function<void()> complete) {
  executor_.post_after(draw_delay(200), [this, observer = std::move(observer), complete = std::move(complete)] {
    world_.settle_exits();
    world_.end_found_moves();
    world_.end_found_copies();
    for (const auto& [vm_id, guest] : world_.guests) observer(world_.observation_of(vm_id));
    observer_ = observer;
    complete();
  });
}

void Agent::start(const port::GuestDefinition& guest, port::Done done) {
  const auto found = world_.guests.find(guest.vm_id);
  if (found != world_.guests.end() && HostWorld::lives(found->second) &&
      found->second.definition.boot_id == guest.boot_id) {
    executor_.post([done = std::move(done)] { done({}); });
    return;
  }
  if (auto begun = world_.begin_start(guest); !begun) {
    executor_.post([done = std::move(done), begun] { done(begun); });
    return;
  }
  make_tpm(guest, false);
  const std::uint64_t process = world_.guests[guest.vm_id].process;
  const bool works = draw_fault() == Fault::none;
  run<void>(
      "start", 400, [this, id = guest.vm_id, process, works] { return world_.finish_start(id, process, works); },
      std::move(done), [this, id = guest.vm_id, process] { world_.orphan_start(id, process); }, false);
}

void Agent::power_down(const std::string& vm_id, port::Done done) {
  world_.decide_to_power_down(vm_id);
  run<void>(
      "power button", 20, [this, vm_id] { return world_.press_power_button(vm_id); }, std::move(done));
}

void Agent::kill(const std::string& vm_id, port::Done done) {
  world_.decide_to_kill(vm_id);
  run<void>(
      "kill", 50,
      [this, vm_id]() -> Result<void> {
        world_.kill(vm_id);
        return {};
      },
      std::move(done));
}

void Agent::pause(const std::string& vm_id, port::Done done) {
  run<void>(
      "pause", 20, [this, vm_id] { return world_.set_paused(vm_id, true); }, std::move(done));
}

void Agent::resume(const std::string& vm_id, port::Done done) {
  run<void>(
      "resume", 20, [this, vm_id] { return world_.set_paused(vm_id, false); }, std::move(done));
}

void Agent::reset(const std::string& vm_id, const std::string& reset_id, port::Done done) {
  run<void>(
      "reset", 20, [this, vm_id, reset_id] { return world_.reset(vm_id, reset_id); }, std::move(done));
}

void Agent::forget(const std::string& vm_id, port::Done done) {
  run<void>(
      "forget", 20,
      [this, vm_id]() -> Result<void> {
        world_.forget(vm_id);
        return {};
      },
      std::move(done));
}

// ---- mover

void Agent::receive(const port::GuestDefinition& guest, const std::string& listen_address, const port::MoveTerms& terms,
                    port::ListeningDone done) {
  if (auto begun = world_.begin_receive(guest, terms); !begun) {
    executor_.post([done = std::move(done), why = begun.error()] { done(fail(why)); });
    return;
  }
  make_tpm(guest, true);
  const std::uint64_t process = world_.guests[guest.vm_id].process;
  const bool works = draw_fault() == Fault::none;
  run<v1::MoveAddress>(
      "waiting for a guest", 300,
      [this, id = guest.vm_id, process, works, listen_address]() -> Result<v1::MoveAddress> {
        if (works) return world_.listen(id, process, listen_address);
        world_.end_receive(id, process);
        return fail(ErrorCode::internal, "the emulator ended with status 1");
      },
      std::move(done), [] {}, false);
}

void Agent::measure(const std::string& vm_id, std::function<void(Result<std::uint64_t>)> done) {
  run<std::uint64_t>(
      "measuring", 1'200,
      [this, vm_id]() -> Result<std::uint64_t> {
        const auto guest = world_.guests.find(vm_id);
        if (guest != world_.guests.end() && HostWorld::runs(guest->second)) return rng_.below(1U << 28U);
        return fail(ErrorCode::conflict, "the guest does not run");
      },
      std::move(done));
}

void Agent::hear_of_moves() {
  world_.send_goes_on = [this](const std::string& vm_id, const port::MoveProgress& progress) {
    executor_.post([this, vm_id, progress] {
      if (const auto sent = sent_.find(vm_id); sent != sent_.end()) sent->second.progress(progress);
    });
  };
  world_.send_ended = [this](const std::string& vm_id, const Result<void>& result) {
    executor_.post([this, vm_id, result] {
      const auto sent = sent_.find(vm_id);
      if (sent == sent_.end()) return;
      const port::Done done = std::move(sent->second.done);
      sent_.erase(sent);
      done(result);
    });
  };
}

void Agent::hear_of_copies() {
  world_.copy_ended = [this](const std::string& vm_id, const Result<void>& result) {
    executor_.post([this, vm_id, result] {
      const auto copied = copied_.find(vm_id);
      if (copied == copied_.end()) return;
      const port::Done done = std::move(copied->second);
      copied_.erase(copied);
      done(result);
    });
  };
}

void Agent::copy_disk(const std::string& vm_id, const port::DiskCopyRequest& request,
                      std::function<void(const port::DiskCopyProgress&)> progress, port::Done done) {
  copied_[vm_id] = std::move(done);
  progress({.bytes_done = 0, .bytes_left = 1});
  run<void>(
      "copying a disk", 100, [this, vm_id, request] { return world_.begin_copy(vm_id, request); },
      [this, vm_id](const Result<void>& begun) {
        if (!begun) world_.copy_ended(vm_id, begun);
      });
}

void Agent::stop_copying(const std::string& vm_id) { world_.stop_copying(vm_id); }

void Agent::send(const std::string& vm_id, const port::MoveRequest& request,
                 std::function<void(const port::MoveProgress&)> progress, port::Done done) {
  sent_[vm_id] = {.progress = std::move(progress), .done = std::move(done)};
  // Once it has begun nothing is answered but by the end of it.
  run<void>(
      "sending a guest", 100, [this, vm_id, request] { return world_.begin_send(vm_id, request); },
      [this, vm_id](const Result<void>& begun) {
        if (!begun) world_.send_ended(vm_id, begun);
      });
}

void Agent::stop_sending(const std::string& vm_id) { world_.stop_sending(vm_id); }

void Agent::take_over(const std::string& vm_id, bool runs, port::Done done) {
  run<void>(
      "going on with a guest", 20, [this, vm_id, runs] { return world_.take_over(vm_id, runs); }, std::move(done));
}

// ---- sentinel

void Agent::observe(std::function<void(const port::LeaseObservation&)> observer) {
  world_.sentinel.observer = [this, observer = std::move(observer)](const port::LeaseObservation& lease) {
    executor_.post([observer, lease] { observer(lease); });
  };
  // It is connected to again, and hears everything anew.
  world_.sentinel.restarted = [this] {
    for (const auto& [vm_id, wish] : lease_wishes_) world_.sentinel.want(wish);
  };
}

void Agent::want(const port::LeaseWish& wish) {
  auto& last = lease_wishes_[wish.vm_id];
  if (std::exchange(last, wish) == wish) return;
  executor_.post_after(1, [this, vm_id = wish.vm_id] {
    if (const auto found = lease_wishes_.find(vm_id); found != lease_wishes_.end()) world_.sentinel.want(found->second);
  });
}

void Agent::remove(const port::LeaseWish& wish, port::Done done) {
  lease_wishes_.erase(wish.vm_id);
  run<void>(
      "removal of a lease", 20,
      [this, wish]() -> Result<void> {
        world_.sentinel.remove(wish);
        return {};
      },
      std::move(done));
}

void Agent::probe(std::function<void(const v1::HostStatus&)> done) {
  executor_.post_after(draw_delay(300), [this, done = std::move(done)] {
    v1::HostStatus status;
    status.set_version("sim");
    status.set_address(world_.address);
    status.set_cpus(64);
    status.set_memory_bytes(world_.setup.memory_mib << 20U);
    status.set_memory_available_bytes(world_.setup.memory_mib << 20U);
    status.set_accelerator("tcg");
    status.set_swtpm_version("0.7.1");
    done(status);
  });
}

// Every guest that runs uses one processor.
void Agent::read(std::function<void(port::Counters)> done) {
  executor_.post_after(draw_delay(50), [this, done = std::move(done)] {
    constexpr double kMilliseconds = 1'000;
    const double now_s = static_cast<double>(executor_.now().monotonic_ms) / kMilliseconds;
    port::Counters counters;
    counters.host.processors = {.busy_seconds = now_s, .all_seconds = 64 * now_s};
    for (const auto& [vm_id, guest] : world_.guests) {
      if (guest.state != GuestState::running) continue;
      counters.guests.push_back({.vm_id = vm_id, .process = guest.definition.boot_id, .cpu_seconds = now_s});
    }
    done(std::move(counters));
  });
}

// ---- network

void Agent::ensure_network(const v1::Network& network, std::function<void(Result<port::NetworkFacts>)> done) {
  run<port::NetworkFacts>(
      "network", 100,
      [this, network]() -> Result<port::NetworkFacts> {
        world_.networks.try_emplace(network.meta().id());
        return port::NetworkFacts{.effective_kind = network.spec().kind(), .reason = {}};
      },
      std::move(done));
}

void Agent::remove_network(const v1::Network& network, port::Done done) {
  run<void>(
      "removal of a network", 50,
      [this, id = network.meta().id()]() -> Result<void> {
        world_.remove_network(id);
        return {};
      },
      std::move(done));
}

void Agent::set_overlay(const v1::Network& network, std::vector<v1::OverlayEntry> entries, port::Done done) {
  run<void>(
      "entries of an overlay", 20,
      [this, id = network.meta().id(), entries = std::move(entries)] { return world_.set_overlay(id, entries); },
      std::move(done));
}

void Agent::set_groups(const port::NicRequest& request, port::Done done) {
  run<void>(
      "security groups", 20, [this, request] { return world_.set_groups(request); }, std::move(done));
}

void Agent::attach(const port::NicRequest& request, std::function<void(Result<port::GuestNic>)> done) {
  run<port::GuestNic>(
      "network interface", 30, [this, request] { return world_.attach(request); }, std::move(done));
}

void Agent::detach(const std::string& vm_id, port::Done done) {
  run<void>(
      "removal of network interfaces", 30,
      [this, vm_id]() -> Result<void> {
        world_.detach(vm_id);
        return {};
      },
      std::move(done));
}

}  // namespace gantry::sim
