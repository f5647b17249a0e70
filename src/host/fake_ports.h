// Ports for tests of this room: a world that outlives a HostCore, with adapters that answer in the order of the calls
// when the test lets them.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/host_core.h"

namespace gantry::host {

class FakeExecutor final : public port::Executor {
 public:
  void post(std::function<void()> work) override { post_after(0, std::move(work)); }
  void post_after(Milliseconds delay_ms, std::function<void()> work) override {
    queue_.emplace(now_ms_ + delay_ms, std::move(work));
  }
  [[nodiscard]] Now now() const override { return {.monotonic_ms = now_ms_, .unix_ms = 1'000'000 + now_ms_}; }

  void run_one() {
    const auto first = queue_.begin();
    now_ms_ = std::max(now_ms_, first->first);
    const auto work = std::move(first->second);
    queue_.erase(first);
    work();
  }
  [[nodiscard]] bool has_work_before(Milliseconds time_ms) const {
    return !queue_.empty() && queue_.begin()->first <= time_ms;
  }
  void run_for(Milliseconds delay_ms) {
    const Milliseconds end_ms = now_ms_ + delay_ms;
    while (has_work_before(end_ms)) run_one();
    now_ms_ = end_ms;
  }

 private:
  std::multimap<Milliseconds, std::function<void()>> queue_;
  Milliseconds now_ms_ = 0;
};

// Every call is written down by name and answered a millisecond later; `failures` answers the next call of that name.
class FakeWorld final : public port::Hypervisor,
                        public port::Mover,
                        public port::DiskCopier,
                        public port::HostFacts,
                        public port::Storage,
                        public port::Network,
                        public port::Sentinel,
                        public port::Meters {
 public:
  using State = port::GuestObservation::State;
  explicit FakeWorld(FakeExecutor& executor) : executor_(executor) {}

  std::vector<std::string> calls;
  std::multimap<std::string, Error> failures;
  // Calls of these names are never answered.
  std::set<std::string> silent;
  std::map<std::string, port::GuestObservation> guests;
  std::map<std::string, std::uint64_t> volumes;
  std::set<std::string> images;
  bool completes = true;
  bool obeys_power_button = true;
  // A write fails as soon as the guest goes on.
  bool disk_is_full = false;
  std::vector<port::GuestDefinition> definitions;
  std::vector<port::PoolRequest> pools;
  std::set<std::string> released;
  // Of imports and inspections.
  std::vector<port::ImageRequest> image_requests;
  std::uint64_t pool_capacity_bytes = 0;
  // Of creations and inspections.
  std::vector<port::VolumeRequest> volume_requests;

  [[nodiscard]] int count(const std::string& name) const {
    return static_cast<int>(std::count(calls.begin(), calls.end(), name));
  }
  void change(const std::string& id, const std::function<void(port::GuestObservation&)>& edit) {
    port::GuestObservation& guest = guests[id];
    guest.vm_id = id;
    edit(guest);
    if (observer_) observer_(guest);
  }
  void end(const std::string& id, v1::VmExit::Reason reason) {
    change(id, [reason](port::GuestObservation& guest) {
      guest.state = State::ended;
      guest.exit.set_reason(reason);
      guest.exit.set_boot_id(guest.boot_id);
    });
  }

  void observe(std::function<void(const port::GuestObservation&)> observer, std::function<void()> complete) override {
    observer_ = std::move(observer);
    executor_.post([this, complete = std::move(complete)] {
      for (const auto& [id, guest] : guests) observer_(guest);
      if (completes) complete();
    });
  }
  void start(const port::GuestDefinition& guest, port::Done done) override {
    definitions.push_back(guest);
    change(guest.vm_id, [&guest](port::GuestObservation& seen) {
      seen.state = State::starting;
      seen.boot_id = guest.boot_id;
      seen.exit.Clear();
      seen.disk_copy_id.clear();
    });
    answer(
        "start", std::move(done),
        [this, id = guest.vm_id] { change(id, [](port::GuestObservation& seen) { seen.state = State::running; }); },
        [this, id = guest.vm_id](const Error& error) {
          if (error.reason != "not_guarded") return end(id, v1::VmExit::START_FAILED);
          guests.erase(id);
          change(id, [](port::GuestObservation&) {});
        });
  }
  void power_down(const std::string& id, port::Done done) override {
    answer("power_down", std::move(done), [this, id] {
      if (obeys_power_button) end(id, v1::VmExit::GUEST_SHUTDOWN);
    });
  }
  void kill(const std::string& id, port::Done done) override {
    answer("kill", std::move(done), [this, id] {
      if (guests.contains(id) && guests[id].state != State::ended) end(id, v1::VmExit::FORCED);
    });
  }
  void pause(const std::string& id, port::Done done) override {
    answer("pause", std::move(done), [this, id] { change(id, [](auto& guest) { guest.state = State::paused; }); });
  }
  void resume(const std::string& id, port::Done done) override {
    answer("resume", std::move(done), [this, id] {
      if (disk_is_full) return;
      change(id, [](auto& guest) {
        guest.state = State::running;
        guest.problem.Clear();
      });
    });
  }
  void fill_disk(const std::string& id) {
    disk_is_full = true;
    change(id, [](auto& guest) {
      guest.state = State::paused;
      guest.problem.set_code("disk_full");
      guest.problem.set_summary("its disk is full");
    });
  }
  void reset(const std::string& id, const std::string& reset_id, port::Done done) override {
    answer("reset", std::move(done),
           [this, id, reset_id] { change(id, [&reset_id](auto& guest) { guest.reset_id = reset_id; }); });
  }
  void forget(const std::string& id, port::Done done) override {
    answer("forget", std::move(done), [this, id] { guests.erase(id); });
  }
  // port::Mover. What comes and goes is told by the test, by change().
  std::vector<port::MoveRequest> move_requests;
  port::MoveTerms awaited;
  // Of every volume.
  std::uint64_t allocation_bytes = 0;
  std::function<void(const port::MoveProgress&)> move_progress;
  void receive(const port::GuestDefinition& guest, const std::string& listen_address, const port::MoveTerms& terms,
               port::ListeningDone done) override {
    definitions.push_back(guest);
    awaited = terms;
    give<v1::MoveAddress>("receive", std::move(done), [this, guest, listen_address] {
      change(guest.vm_id, [&guest](port::GuestObservation& seen) {
        seen.state = State::receiving;
        seen.boot_id = guest.boot_id;
        seen.exit.Clear();
      });
      v1::MoveAddress address;
      address.set_host(listen_address);
      address.set_port(49'152);
      address.set_secret("0123");
      return address;
    });
  }
  void measure(const std::string&, std::function<void(Result<std::uint64_t>)> done) override {
    give<std::uint64_t>("measure", std::move(done), [this] { return dirty_bytes_per_second; });
  }
  std::uint64_t dirty_bytes_per_second = 0;
  void send(const std::string& id, const port::MoveRequest& request,
            std::function<void(const port::MoveProgress&)> progress, port::Done done) override {
    move_requests.push_back(request);
    move_progress = std::move(progress);
    answer("send", std::move(done), [this, id] { change(id, [](auto& guest) { guest.state = State::sent; }); });
  }
  void stop_sending(const std::string&) override { calls.emplace_back("stop_sending"); }
  void take_over(const std::string& id, bool runs, port::Done done) override {
    answer("take_over", std::move(done), [this, id, runs] {
      change(id, [runs](auto& guest) { guest.state = runs ? State::running : State::paused; });
    });
  }
  // port::DiskCopier. A copy is done at once; of one that is `silent` the test says how it went.
  std::vector<port::DiskCopyRequest> copy_requests;
  std::function<void(const port::DiskCopyProgress&)> copy_progress;
  port::Done copy_done;
  void copy_disk(const std::string& id, const port::DiskCopyRequest& request,
                 std::function<void(const port::DiskCopyProgress&)> progress, port::Done done) override {
    copy_requests.push_back(request);
    copy_progress = std::move(progress);
    copy_done = done;
    answer("copy_disk", std::move(done), [this, id, request] { use_copy(id, request.id); });
  }
  void use_copy(const std::string& id, const std::string& copy_id) {
    change(id, [&copy_id](port::GuestObservation& guest) { guest.disk_copy_id = copy_id; });
  }
  void stop_copying(const std::string&) override { calls.emplace_back("stop_copying"); }
  // port::Sentinel. Every lease that is wanted is held at once, unless it is refused.
  std::map<std::string, port::LeaseWish> lease_wishes;
  bool refuses_leases = false;
  bool sentinel_moves_nothing = false;
  bool sentinel_serves_nothing = false;
  void tell_lease(const std::string& id, v1::LeaseStatus::State state, const std::string& reason = "") {
    port::LeaseObservation seen;
    seen.vm_id = id;
    seen.status.set_state(state);
    seen.status.set_epoch(lease_wishes[id].epoch);
    seen.status.set_reason(reason);
    seen.moves_nothing = sentinel_moves_nothing;
    seen.serves_nothing = sentinel_serves_nothing;
    const bool guards_arrival = lease_wishes[id].incoming && !sentinel_moves_nothing;
    if (state == v1::LeaseStatus::HELD || guards_arrival) seen.guard = "/guards/" + id;
    lease_observer_(seen);
  }
  void observe(std::function<void(const port::LeaseObservation&)> observer) override {
    lease_observer_ = std::move(observer);
    // Another agent asks anew.
    lease_wishes.clear();
  }
  void want(const port::LeaseWish& wish) override {
    auto& last = lease_wishes[wish.vm_id];
    if (std::exchange(last, wish) == wish || refuses_leases) return;
    const auto state = wish.hold           ? v1::LeaseStatus::HELD
                       : wish.heir.empty() ? v1::LeaseStatus::NONE
                                           : v1::LeaseStatus::GIVEN;
    executor_.post([this, id = wish.vm_id, state] { tell_lease(id, state); });
  }
  void remove(const port::LeaseWish& wish, port::Done done) override {
    answer("remove_lease", std::move(done), [this, id = wish.vm_id] { lease_wishes.erase(id); });
  }
  v1::HostStatus host_facts;
  void probe(std::function<void(const v1::HostStatus&)> done) override {
    if (silent.contains("probe")) return;
    executor_.post([this, done = std::move(done)] { done(host_facts); });
  }
  port::Counters counters;
  void read(std::function<void(port::Counters)> done) override {
    executor_.post([this, done = std::move(done)] { done(counters); });
  }
  void inspect_pool(const port::PoolRequest& request, std::function<void(Result<v1::PoolStatus>)> done) override {
    pools.push_back(request);
    give<v1::PoolStatus>("inspect_pool", std::move(done), [this] {
      v1::PoolStatus status;
      status.set_capacity_bytes(pool_capacity_bytes);
      return status;
    });
  }
  void release_pool(const port::PoolRequest& request, port::Done done) override {
    answer("release_pool", std::move(done), [this, id = request.shared_id] { released.insert(id); });
  }
  void create_volume(const port::VolumeRequest& request, port::ProgressCallback, port::VolumeDone done) override {
    volume_requests.push_back(request);
    give<port::VolumeFacts>("create_volume", std::move(done), [this, request] {
      volumes.try_emplace(request.volume_id, request.capacity_bytes);
      return facts_of(request);
    });
  }
  void inspect_volume(const port::VolumeRequest& request, port::VolumeDone done) override {
    volume_requests.push_back(request);
    if (!volumes.contains(request.volume_id)) {
      failures.emplace("inspect_volume", Error{.code = ErrorCode::not_found, .summary = "no such file"});
    }
    give<port::VolumeFacts>("inspect_volume", std::move(done), [this, request] { return facts_of(request); });
  }
  void resize_volume(const port::VolumeRequest& request, port::VolumeDone done) override {
    give<port::VolumeFacts>("resize_volume", std::move(done), [this, request] {
      volumes[request.volume_id] = request.capacity_bytes;
      return facts_of(request);
    });
  }
  void delete_volume(const port::VolumeRequest& request, port::Done done) override {
    answer("delete_volume", std::move(done), [this, id = request.volume_id] { volumes.erase(id); });
  }
  void import_image(const port::ImageRequest& request, port::ProgressCallback, port::ImageDone done) override {
    image_requests.push_back(request);
    give<port::ImageFacts>("import_image", std::move(done), [this, id = request.image_id] {
      images.insert(id);
      return image_facts(id);
    });
  }
  void inspect_image(const port::ImageRequest& request, port::ImageDone done) override {
    image_requests.push_back(request);
    if (!images.contains(request.image_id)) {
      failures.emplace("inspect_image", Error{.code = ErrorCode::not_found, .summary = "no such file"});
    }
    give<port::ImageFacts>("inspect_image", std::move(done), [id = request.image_id] { return image_facts(id); });
  }
  void delete_image(const port::ImageRequest& request, port::Done done) override {
    answer("delete_image", std::move(done), [this, id = request.image_id] { images.erase(id); });
  }
  void make_seed(const std::string& id, std::uint32_t, const std::map<std::string, std::string>&,
                 std::function<void(Result<std::string>)> done) override {
    give<std::string>("make_seed", std::move(done), [id] { return "/seeds/" + id; });
  }
  void delete_seed(const std::string&, port::Done done) override {
    answer("delete_seed", std::move(done), [] {});
  }
  // Of VMs, by id.
  std::map<std::string, std::string> deleted_tpms;
  void delete_tpm(const port::PoolRequest& pool, const std::string& id, port::Done done) override {
    answer("delete_tpm", std::move(done), [this, path = pool.path, id] { deleted_tpms[id] = path; });
  }
  void ensure_network(const v1::Network&, std::function<void(Result<port::NetworkFacts>)> done) override {
    give<port::NetworkFacts>("ensure_network", std::move(done), [] { return port::NetworkFacts(); });
  }
  void remove_network(const v1::Network&, port::Done done) override {
    answer("remove_network", std::move(done), [] {});
  }
  // What was told last, by network and by NIC ("vm-…/0").
  std::map<std::string, std::vector<v1::OverlayEntry>> overlays;
  std::map<std::string, port::NicRequest> guarded;
  void set_overlay(const v1::Network& network, std::vector<v1::OverlayEntry> entries, port::Done done) override {
    answer("set_overlay", std::move(done),
           [this, id = network.meta().id(), entries = std::move(entries)] { overlays[id] = entries; });
  }
  void set_groups(const port::NicRequest& request, port::Done done) override {
    answer("set_groups", std::move(done),
           [this, request] { guarded[request.vm_id + "/" + std::to_string(request.index)] = request; });
  }
  void attach(const port::NicRequest& request, std::function<void(Result<port::GuestNic>)> done) override {
    give<port::GuestNic>("attach", std::move(done), [index = request.index] {
      port::GuestNic nic;
      nic.tap = "tap" + std::to_string(index);
      return nic;
    });
  }
  void detach(const std::string&, port::Done done) override {
    answer("detach", std::move(done), [] {});
  }

 private:
  static port::ImageFacts image_facts(const std::string& id) {
    port::ImageFacts facts;
    facts.path = "/pool/" + id;
    return facts;
  }
  port::VolumeFacts facts_of(const port::VolumeRequest& request) {
    port::VolumeFacts facts;
    facts.path = "/pool/" + request.volume_id;
    facts.capacity_bytes = volumes[request.volume_id];
    facts.allocation_bytes = allocation_bytes;
    return facts;
  }
  std::optional<Error> take_failure(const std::string& name) {
    const auto failure = failures.find(name);
    if (failure == failures.end()) return std::nullopt;
    Error error = failure->second;
    failures.erase(failure);
    return error;
  }
  template <class Value, class Effect>
  void give(const std::string& name, std::function<void(Result<Value>)> done, Effect effect) {
    calls.push_back(name);
    if (silent.contains(name)) return;
    executor_.post_after(1, [failure = take_failure(name), done = std::move(done), effect] {
      if (failure) {
        done(fail(*failure));
      } else {
        done(effect());
      }
    });
  }
  void answer(
      const std::string& name, port::Done done, std::function<void()> effect,
      std::function<void(const Error&)> failed = [](const Error&) {}) {
    calls.push_back(name);
    if (silent.contains(name)) return;
    executor_.post_after(1, [failure = take_failure(name), done = std::move(done), effect = std::move(effect),
                             failed = std::move(failed)] {
      if (failure) {
        failed(*failure);
        done(fail(*failure));
      } else {
        effect();
        done({});
      }
    });
  }

  FakeExecutor& executor_;
  std::function<void(const port::GuestObservation&)> observer_;
  std::function<void(const port::LeaseObservation&)> lease_observer_;
};

class FakeLink final : public port::HostLink {
 public:
  void send(const v1::FromHost& message) override {
    sent.push_back(message);
    for (const v1::Observation& observation : message.observations()) told[observation.id()] = observation;
  }
  void on_message(std::function<void(const v1::ToHost&)> handler) override { receive = std::move(handler); }
  void on_connection(std::function<void(bool)> handler) override { connection = std::move(handler); }

  std::vector<v1::FromHost> sent;
  // The last of each record.
  std::map<std::string, v1::Observation> told;
  std::function<void(const v1::ToHost&)> receive;
  std::function<void(bool)> connection;
};

}  // namespace gantry::host
