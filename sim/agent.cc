#include "sim/agent.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kSlowDiskMs = 15'000;

}  // namespace

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
                                                       .sentinel = *this},
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

template <class Value>
void Agent::run(const std::string& what, Milliseconds usual_ms, std::function<Result<Value>()> effect,
                std::function<void(Result<Value>)> done, std::function<void()> when_crashed, bool may_fail) {
  const Fault fault = may_fail ? draw_fault() : Fault::none;
  const std::uint64_t call = ++calls_;
  if (!when_crashed && fault == Fault::none && rng_.chance(1, 2)) when_crashed = [effect] { effect(); };
  under_way_[call] = std::move(when_crashed);
  executor_.post_after(draw_delay(usual_ms),
                       [this, what, call, fault, effect = std::move(effect), done = std::move(done)] {
                         under_way_.erase(call);
                         if (fault == Fault::none) {
                           done(effect());
                         } else {
                           trace_.note("host", world_.setup.name + ": " + what + " fails");
                           done(fail(error_of(fault)));
                         }
                       });
}

template <class Value>
void Agent::run_on_disk(const std::string& what, Milliseconds usual_ms, std::function<Result<Value>()> effect,
                        std::function<void(Result<Value>)> done) {
  const Milliseconds now_ms = scheduler_.now().monotonic_ms;
  if (now_ms < world_.disk_slow_until_ms) usual_ms += kSlowDiskMs;
  if (now_ms >= world_.disk_fails_until_ms) return run(what, usual_ms, std::move(effect), std::move(done));
  executor_.post_after(draw_delay(usual_ms), [what, done = std::move(done)] {
    done(fail(ErrorCode::unavailable, what + " failed", "the disk gave an input/output error"));
  });
}

template <class Value>
void Agent::run_unless_deleted(const std::string& object, const std::string& what, Milliseconds usual_ms,
                               std::function<Result<Value>()> effect, std::function<void(Result<Value>)> done) {
  const auto answered = std::make_shared<bool>(false);
  const auto once = [answered, done = std::move(done)](const Result<Value>& result) {
    if (!std::exchange(*answered, true)) done(result);
  };
  const auto cut = std::make_shared<bool>(false);
  making_[object] = [cut, once, this] {
    *cut = true;
    executor_.post([once] { once(fail(ErrorCode::cancelled, "it is being deleted")); });
  };
  run_on_disk<Value>(
      what, usual_ms,
      [cut, effect = std::move(effect)]() -> Result<Value> {
        if (*cut) return fail(ErrorCode::cancelled, "it is being deleted");
        return effect();
      },
      [this, once, object](const Result<Value>& result) {
        making_.erase(object);
        once(result);
      });
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

// ---- storage

void Agent::inspect_pool(const port::PoolRequest& request, std::function<void(Result<v1::PoolStatus>)> done) {
  run_on_disk<v1::PoolStatus>(
      "pool inspection", 50,
      [this, request]() -> Result<v1::PoolStatus> {
        if (!request.shared_id.empty()) return shared_.inspect_pool(request);
        if (auto usable = world_.use_pool(request); !usable) return fail(usable.error());
        constexpr std::uint64_t kGib = 1U << 30U;
        v1::PoolStatus status;
        const std::uint64_t used_gib = world_.allocated_gib();
        status.set_capacity_bytes(world_.setup.pool_capacity_gib * kGib);
        status.set_available_bytes(
            used_gib > world_.setup.pool_capacity_gib ? 0 : (world_.setup.pool_capacity_gib - used_gib) * kGib);
        status.set_allocation_bytes(used_gib * kGib);
        return status;
      },
      std::move(done));
}

void Agent::release_pool(const port::PoolRequest& request, port::Done done) {
  run_on_disk<void>(
      "pool release", 20, [this, request] { return shared_.release_pool(request); }, std::move(done));
}

void Agent::create_volume(const port::VolumeRequest& request, port::ProgressCallback progress, port::VolumeDone done) {
  executor_.post([progress = std::move(progress)] {
    v1::Progress half;
    half.set_measurable(true);
    half.set_percent(50);
    progress(half);
  });
  run_unless_deleted<port::VolumeFacts>(
      request.volume_id, "creation of a volume", 100,
      [this, request] { return in_pool(request, [&](auto& files) { return files.create_volume(request); }); },
      std::move(done));
}

void Agent::inspect_volume(const port::VolumeRequest& request, port::VolumeDone done) {
  run_on_disk<port::VolumeFacts>(
      "volume inspection", 30,
      [this, request] { return in_pool(request, [&](auto& files) { return files.inspect_volume(request); }); },
      std::move(done));
}

void Agent::resize_volume(const port::VolumeRequest& request, port::VolumeDone done) {
  run_on_disk<port::VolumeFacts>(
      "resize", 100,
      [this, request] { return in_pool(request, [&](auto& files) { return files.resize_volume(request); }); },
      std::move(done));
}

void Agent::delete_volume(const port::VolumeRequest& request, port::Done done) {
  cut_short(request.volume_id);
  run_on_disk<void>(
      "deletion of a volume", 50,
      [this, request] { return in_pool(request, [&](auto& files) { return files.delete_volume(request); }); },
      std::move(done));
}

void Agent::import_image(const port::ImageRequest& request, port::ProgressCallback progress, port::ImageDone done) {
  executor_.post_after(50, [progress = std::move(progress)] {
    v1::Progress some;
    some.set_measurable(true);
    some.set_percent(10);
    progress(some);
  });
  run_unless_deleted<port::ImageFacts>(
      request.image_id, "import of an image", 5'000,
      [this, request] { return in_pool(request, [&](auto& files) { return files.import_image(request); }); },
      std::move(done));
}

void Agent::inspect_image(const port::ImageRequest& request, port::ImageDone done) {
  run_on_disk<port::ImageFacts>(
      "image inspection", 30,
      [this, request] { return in_pool(request, [&](auto& files) { return files.inspect_image(request); }); },
      std::move(done));
}

void Agent::delete_image(const port::ImageRequest& request, port::Done done) {
  cut_short(request.image_id);
  run_on_disk<void>(
      "deletion of an image", 50,
      [this, request] { return in_pool(request, [&](auto& files) { return files.delete_image(request); }); },
      std::move(done));
}

void Agent::make_seed(const std::string& vm_id, std::uint32_t, const std::map<std::string, std::string>&,
                      std::function<void(Result<std::string>)> done) {
  run_on_disk<std::string>(
      "cloud-init seed", 30,
      [this, vm_id]() -> Result<std::string> {
        world_.seeds.insert(vm_id);
        return "/seeds/" + vm_id;
      },
      std::move(done));
}

void Agent::delete_seed(const std::string& vm_id, port::Done done) {
  run_on_disk<void>(
      "deletion of a seed", 30,
      [this, vm_id]() -> Result<void> {
        world_.seeds.erase(vm_id);
        return {};
      },
      std::move(done));
}

std::set<std::string>& Agent::tpms_at(const std::string& pool_path) {
  return shared_.has_pool_at(pool_path) ? shared_.tpms : world_.tpms;
}

void Agent::make_tpm(const port::GuestDefinition& guest, bool incoming) {
  if (guest.tpm_directory.empty()) return;
  const std::string end = port::tpm_directory("", guest.vm_id);
  const bool is_new =
      tpms_at(guest.tpm_directory.substr(0, guest.tpm_directory.size() - end.size())).insert(guest.vm_id).second;
  const bool had_one = !shared_.tpms_ever.insert(guest.vm_id).second;
  if (is_new && had_one && !incoming) trace_.violation("guest " + guest.vm_id + " begins without what its TPM kept");
}

void Agent::delete_tpm(const port::PoolRequest& pool, const std::string& vm_id, port::Done done) {
  run_on_disk<void>(
      "deletion of a TPM", 30,
      [this, pool, vm_id]() -> Result<void> {
        tpms_at(pool.path).erase(vm_id);
        return {};
      },
      std::move(done));
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
