#include "host/core.h"

namespace gantry::host {
namespace {
constexpr Milliseconds kBeatMs = 5'000;
constexpr Milliseconds kTellAllMs = 30'000;
constexpr Milliseconds kProbeMs = 60'000;
constexpr Milliseconds kMeasureMs = 10'000;
}  // namespace

HostCore::HostCore(const Ports& ports, Options options) : core_(std::make_shared<Core>(ports, std::move(options))) {}
HostCore::~HostCore() = default;
void HostCore::start() { core_->start(); }

void Core::start() {
  ports_.link.on_message(alive([](Core& core, const v1::ToHost& message) { core.on_message(message); }));
  ports_.link.on_connection(alive([](Core& core, bool connected) { core.on_connection(connected); }));
  ports_.hypervisor.observe(alive([](Core& core, const port::GuestObservation& guest) { core.on_guest(guest); }),
                            alive([](Core& core) {
                              core.guests_known_ = true;
                              core.touch();
                            }));
  ports_.sentinel.observe(alive([](Core& core, const port::LeaseObservation& lease) { core.on_lease(lease); }));
  probe_facts();
  every_few_seconds();
  measure_use();
}

void Core::log(std::string_view line) const {
  if (options_.log) options_.log(line);
}

void Core::on_message(const v1::ToHost& message) {
  const auto gone = table_.apply(message, options_.host_id, [this](std::string_view line) { log(line); });
  if (message.complete()) {
    assignments_known_ = true;
    greeted_ = true;
  }
  tell_gone(gone);
  touch();
}

void Core::on_connection(bool connected) {
  connected_ = connected;
  greeted_ = false;
  table_.begin_connection();
  if (!connected) return;
  forget_told();
  say_hello();
  touch();
}

void Core::on_guest(const port::GuestObservation& guest) {
  if (guest.state == port::GuestObservation::State::absent) {
    guests_.erase(guest.vm_id);
  } else {
    guests_[guest.vm_id] = guest;
  }
  touch();
}

void Core::probe_facts() {
  probed_at_ms_ = now().monotonic_ms;
  ports_.facts.probe(alive([](Core& core, const v1::HostStatus& status) {
    core.host_status_ = status;
    core.host_status_.mutable_recipes()->Assign(core.options_.recipes.begin(), core.options_.recipes.end());
    core.host_probed_ = true;
    core.touch();
  }));
}

void Core::every_few_seconds() {
  const Milliseconds now_ms = now().monotonic_ms;
  if (connected_ && !greeted_) say_hello();
  if (now_ms - probed_at_ms_ >= kProbeMs) probe_facts();
  if (now_ms - told_all_at_ms_ >= kTellAllMs) {
    forget_told();
    touch();
  }
  ports_.executor.post_after(kBeatMs, alive([](Core& core) { core.every_few_seconds(); }));
}

void Core::measure_use() {
  if (connected_) {
    ports_.meters.read(alive([](Core& core, const port::Counters& counters) { core.tell_use(counters); }));
  }
  ports_.executor.post_after(kMeasureMs, alive([](Core& core) { core.measure_use(); }));
}

// Many events cost one pass.
void Core::touch() {
  if (pass_posted_) return;
  pass_posted_ = true;
  ports_.executor.post(alive([](Core& core) { core.pass(); }));
}

void Core::pass() {
  pass_posted_ = false;
  tend_pools();
  tend_networks();
  tend_images();
  tend_volumes();
  // Before everything running was seen once, that a guest is not seen means nothing.
  if (guests_known_) {
    tend_vms();
    tend_groups();
  } else {
    for (auto& [id, vm] : table_.vms) tend_lease(id, vm, guest_of(id));
  }
  report();
}

void Core::wake_at(std::optional<Milliseconds> time_ms) {
  if (!time_ms || (wake_at_ms_ && *wake_at_ms_ <= *time_ms)) return;
  wake_at_ms_ = time_ms;
  const Milliseconds delay_ms = std::max<Milliseconds>(0, *time_ms - now().monotonic_ms);
  ports_.executor.post_after(delay_ms, alive([at_ms = *time_ms](Core& core) {
                               if (core.wake_at_ms_ == at_ms) core.wake_at_ms_.reset();
                               core.touch();
                             }));
}

bool Core::may_run(const std::string& id, const VmObject& vm) const {
  return is_live(guest_of(id)) || vm.under_way == VmStep::start;
}

bool Core::waits_to_run(const std::string& id, const VmObject& vm) const {
  const v1::VmSpec& spec = vm.wanted.spec();
  const MaybeTrouble& trouble = vm.memory.trouble;
  const bool failed = trouble && trouble->definite && trouble->operation_id == spec.boot_id();
  const port::GuestObservation guest = guest_of(id);
  const bool ended = guest.state == port::GuestObservation::State::ended && guest.boot_id == spec.boot_id();
  return spec.power() != v1::VmSpec::STOPPED && !vm.wanted.meta().has_deletion() && !failed && !ended;
}

std::string Core::user_of(const std::function<bool(const v1::Vm&)>& uses) const {
  if (!guests_known_ || !assignments_known_) return "every guest to be known, and for any that uses it";
  for (const auto& [id, vm] : table_.vms) {
    if (may_run(id, vm) && uses(vm.wanted)) return quoted_name("VM", vm.wanted);
  }
  return "";
}

}  // namespace gantry::host
