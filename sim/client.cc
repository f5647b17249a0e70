#include "sim/client.h"

#include "gantry/v1/routes.pb.h"
#include "model/keys.h"

namespace gantry::sim {
namespace {

constexpr std::uint64_t kGib = 1U << 30U;
constexpr Milliseconds kPatienceMs = 12'000;

// What a call deletes by its id alone; empty: nothing.
std::string_view deleted_kind(std::string_view rpc) {
  if (rpc == "DeleteVolume") return model::kVolume;
  if (rpc == "DeleteImage") return model::kImage;
  if (rpc == "DeleteHost") return model::kHost;
  if (rpc == "DeleteSecurityGroup") return model::kSecurityGroup;
  return rpc == "DeleteNetwork" ? model::kNetwork : std::string_view();
}

bool may_work_later(ErrorCode code) { return code == ErrorCode::unavailable || code == ErrorCode::timed_out; }

template <class Message>
std::shared_ptr<Message> make() {
  return std::make_shared<Message>();
}

}  // namespace

// ---- calling

void Client::next_call() {
  scheduler_.at(1 + static_cast<Milliseconds>(rng_.below(static_cast<std::uint64_t>(swarm_.pause_ms_max))), [this] {
    if (stopped_) return;
    ask_something();
    next_call();
  });
}

void Client::begin(std::string rpc, Request request) {
  begin({.rpc = std::move(rpc), .request = std::move(request), .key = {}, .dry_run = rng_.chance(1, 20)});
}

void Client::take_leave(const std::string& host_name) {
  begin({.rpc = "DeleteHost", .request = by_id(host_name), .key = {}});
}

void Client::begin(Call call) {
  const std::uint64_t number = ++numbers_;
  call.key = "call-" + std::to_string(number);
  trace_.note("client", call.key + " " + call.rpc + " " + call.request->ShortDebugString());
  note_wish(number, call);
  calls_[number] = std::move(call);
  attempt(number);
}

void Client::note_wish(std::uint64_t number, const Call& call) {
  if (call.dry_run) return;
  Wish wish;
  if (const auto* stop = dynamic_cast<const v1::StopVmRequest*>(call.request.get())) {
    const Milliseconds asked_ms = Milliseconds{1'000} * stop->timeout_seconds();
    wish.vm_name = stop->id();
    wish.timeout_ms = stop->force() ? 0 : asked_ms != 0 ? asked_ms : kStopTimeoutMs;
  } else if (const auto* remove = dynamic_cast<const v1::DeleteVmRequest*>(call.request.get())) {
    wish = {.vm_name = remove->id(),
            .timeout_ms = 0,
            .deletes_kind = std::string(model::kVm),
            .deletes_name = remove->id(),
            .keeps_volumes = remove->keep_volumes()};
  } else if (call.rpc == "CancelTask") {
    wish.cancels_task_id = dynamic_cast<const v1::ById&>(*call.request).id();
    // Of a creation or a start: what was begun is ended.
    wish.timeout_ms = 0;
    const auto task = records_.tasks.find(wish.cancels_task_id);
    if (task != records_.tasks.end()) wish.vm_name = task->second.target_name();
  } else if (const auto kind = deleted_kind(call.rpc); !kind.empty()) {
    wish.deletes_kind = kind;
    wish.deletes_name = dynamic_cast<const v1::ById&>(*call.request).id();
  } else {
    return;
  }
  wishes_.ask(number, std::move(wish), scheduler_.now().monotonic_ms);
}

void Client::end(std::uint64_t number, bool refused) {
  wishes_.answer(number, refused, scheduler_.now().monotonic_ms);
  calls_.erase(number);
}

void Client::attempt(std::uint64_t number) {
  const auto found = calls_.find(number);
  if (found == calls_.end()) return;
  Call& call = found->second;
  const std::uint64_t this_attempt = ++call.attempt;
  scheduler_.at(kPatienceMs, [this, number, this_attempt] {
    const auto waiting = calls_.find(number);
    if (waiting != calls_.end() && waiting->second.attempt == this_attempt) attempt(number);
  });
  if (manager_ == nullptr) return;
  const port::CallOptions options{
      .actor = "admin", .dry_run = call.dry_run, .if_match = 0, .idempotency_key = call.key};
  // The answer may come within the call.
  const Request request = call.request;
  const std::string rpc = call.rpc;
  manager_->call(rpc, *request, options,
                 [this, number, this_attempt](const Result<std::unique_ptr<google::protobuf::Message>>& answer) {
                   const auto waiting = calls_.find(number);
                   if (waiting == calls_.end() || waiting->second.attempt != this_attempt) return;
                   answered(number, answer);
                 });
}

void Client::accept(Call& call, const std::string& task_id) {
  trace_.note("client", call.key + " accepted as " + task_id);
  if (!records_.was_committed(task_id)) trace_.violation("task " + task_id + " was promised, but is not in the store");
  if (!call.task_id.empty() && call.task_id != task_id) {
    trace_.violation("a repeat of " + call.key + " made another task: " + task_id + " beside " + call.task_id);
  }
  call.task_id = task_id;
  accepted_.insert(task_id);
}

void Client::answered(std::uint64_t number, const Result<std::unique_ptr<google::protobuf::Message>>& answer) {
  Call& call = calls_.at(number);
  if (!answer && may_work_later(answer.error().code)) {
    trace_.note("client", call.key + " is to try later: " + answer.error().to_text());
    const std::uint64_t this_attempt = ++call.attempt;
    scheduler_.at(500 + static_cast<Milliseconds>(rng_.below(2'000)), [this, number, this_attempt] {
      const auto waiting = calls_.find(number);
      if (waiting != calls_.end() && waiting->second.attempt == this_attempt) attempt(number);
    });
    return;
  }
  if (!answer) {
    trace_.note("client", call.key + " refused: " + answer.error().to_text());
    if (!call.task_id.empty()) trace_.violation("a repeat of " + call.key + " was refused after it had been accepted");
    if (answer.error().code == ErrorCode::internal) trace_.violation(call.key + ": " + answer.error().to_text());
    end(number, true);
    return;
  }
  const auto* accepted = dynamic_cast<const v1::Accepted*>(answer->get());
  if (accepted != nullptr && !call.dry_run) {
    accept(call, accepted->task().meta().id());
    if (rng_.chance(swarm_.repeats, 1'000)) {
      ++call.attempt;
      scheduler_.at(1 + static_cast<Milliseconds>(rng_.below(20'000)), [this, number] { attempt(number); });
      return;
    }
  }
  end(number);
}

// ---- what they ask for

std::string Client::pick(const char* kind, std::uint64_t count) { return kind + std::to_string(rng_.below(count)); }

std::string Client::pick_vm() {
  if (records_.vms.empty() || rng_.chance(1, 10)) return pick("web", 6);
  auto vm = records_.vms.begin();
  std::advance(vm, static_cast<std::ptrdiff_t>(rng_.below(records_.vms.size())));
  return vm->second.meta().name();
}

Client::Request Client::by_id(std::string id) {
  auto request = make<v1::ById>();
  request->set_id(std::move(id));
  return request;
}

Client::Request Client::stop_vm(std::string id) {
  auto request = make<v1::StopVmRequest>();
  request->set_id(std::move(id));
  request->set_force(rng_.chance(1, 4));
  if (rng_.chance(1, 2)) request->set_timeout_seconds(static_cast<std::uint32_t>(1 + rng_.below(20)));
  return request;
}

Client::Request Client::create_vm() {
  auto request = make<v1::CreateVmRequest>();
  request->set_name(pick("web", 6));
  v1::VmSpec& spec = *request->mutable_spec();
  spec.set_cpus(static_cast<std::uint32_t>(1 + rng_.below(4)));
  spec.set_memory_mib(static_cast<std::uint32_t>(256 + 256 * rng_.below(4)));
  // A host that lies runs nothing: what is placed there is never done.
  if (swarm_.hostile_seed != 0) spec.set_host("host-000000000001");
  if (rng_.chance(2, 3)) spec.set_image(pick("image", 2));
  if (spec.image().empty() || rng_.chance(1, 3)) spec.add_disks()->mutable_create()->set_capacity_bytes(kGib);
  if (rng_.chance(1, 3)) spec.add_disks()->set_volume(pick("disk", 4));
  if (rng_.chance(2, 3)) {
    v1::VmNic& nic = *spec.add_nics();
    if (rng_.chance(1, 3)) nic.set_network(pick("net", 2));
    if (rng_.chance(1, 4)) nic.add_port_forwards()->set_guest_port(22);
    if (rng_.chance(1, 4)) nic.add_security_groups(pick("group", 2));
  }
  if (rng_.chance(1, 3)) spec.mutable_cloud_init()->set_user("me");
  if (rng_.chance(1, 6)) spec.set_power(v1::VmSpec::STOPPED);
  return request;
}

Client::Request Client::create_volume() {
  auto request = make<v1::CreateVolumeRequest>();
  request->set_name(pick("disk", 4));
  request->mutable_spec()->set_capacity_bytes(kGib);
  if (rng_.chance(1, 4)) request->mutable_spec()->set_image(pick("image", 2));
  return request;
}

Client::Request Client::create_image() {
  auto request = make<v1::CreateImageRequest>();
  request->set_name(pick("image", 2));
  if (rng_.chance(1, 2)) {
    request->mutable_spec()->set_recipe("debian-12");
  } else {
    request->mutable_spec()->set_url("https://images.example/disk.qcow2");
    request->mutable_spec()->set_sha256(std::string(64, 'a'));
  }
  return request;
}

void Client::ask_something() {
  const std::string vm = pick_vm();
  if (numbers_ < 2) return begin("CreateImage", create_image());
  switch (rng_.below(44)) {
    case 0:
    case 1: return begin("CreateImage", create_image());
    case 2: return begin("DeleteImage", by_id(pick("image", 2)));
    case 3:
    case 4: return begin("CreateVolume", create_volume());
    case 5: {
      auto request = make<v1::ResizeVolumeRequest>();
      request->set_id(pick("disk", 4));
      request->set_capacity_bytes((2 + rng_.below(4)) * kGib);
      return begin("ResizeVolume", request);
    }
    case 6: return begin("DeleteVolume", by_id(pick("disk", 4)));
    case 7: {
      auto request = make<v1::CreateNetworkRequest>();
      request->set_name(pick("net", 2));
      if (rng_.chance(1, 2)) request->mutable_spec()->set_kind(v1::NetworkSpec::OVERLAY);
      return begin("CreateNetwork", request);
    }
    case 8: return begin("DeleteNetwork", by_id(pick("net", 2)));
    case 9:
    case 10: {
      auto request = make<v1::DeleteVmRequest>();
      request->set_id(vm);
      request->set_keep_volumes(rng_.chance(1, 5));
      return begin("DeleteVm", request);
    }
    case 11:
    case 12: {
      if (records_.tasks.empty()) return;
      auto task = records_.tasks.begin();
      std::advance(task, static_cast<std::ptrdiff_t>(rng_.below(records_.tasks.size())));
      return begin("CancelTask", by_id(task->first));
    }
    case 13: {
      auto request = make<v1::UpdateVmRequest>();
      request->set_id(vm);
      request->set_memory_mib(static_cast<std::uint32_t>(256 + 256 * rng_.below(4)));
      return begin("UpdateVm", request);
    }
    case 14:
    case 15:
    case 16: return begin("RestartVm", stop_vm(vm));
    case 17:
    case 18:
    case 19:
    case 20: return begin("StopVm", stop_vm(vm));
    case 21:
    case 22:
    case 23: return begin("ResetVm", by_id(vm));
    case 24:
    case 25: return begin("PauseVm", by_id(vm));
    case 26:
    case 27: return begin("ResumeVm", by_id(vm));
    case 28:
    case 29:
    case 30:
    case 31: return begin("StartVm", by_id(vm));
    case 32: {
      auto request = make<v1::CreateSecurityGroupRequest>();
      request->set_name(pick("group", 2));
      request->mutable_spec()->add_rules()->set_protocol(v1::SecurityRule::ICMP);
      return begin("CreateSecurityGroup", request);
    }
    case 33: {
      auto request = make<v1::UpdateSecurityGroupRequest>();
      request->set_id(pick("group", 2));
      v1::SecurityRule& rule = *request->add_rules();
      rule.set_protocol(v1::SecurityRule::TCP);
      rule.set_port(static_cast<std::uint32_t>(1 + rng_.below(65'535)));
      return begin("UpdateSecurityGroup", request);
    }
    case 34: {
      auto request = make<v1::UpdateVmRequest>();
      request->set_id(vm);
      v1::NicGroups& groups = *request->add_nic_security_groups();
      if (rng_.chance(2, 3)) groups.add_security_groups(pick("group", 2));
      return begin("UpdateVm", request);
    }
    case 35: return begin("DeleteSecurityGroup", by_id(pick("group", 2)));
    default: return begin("CreateVm", create_vm());
  }
}

}  // namespace gantry::sim
