#include "sim/client.h"

#include "gantry/v1/routes.pb.h"
#include "model/keys.h"
#include "sim/host_world.h"

namespace gantry::sim {
namespace {

constexpr Milliseconds kPatienceMs = 12'000;

// What a call deletes by its id alone; empty: nothing.
std::string_view deleted_kind(std::string_view rpc) {
  if (rpc == "DeleteVolume") return model::kVolume;
  if (rpc == "DeleteImage") return model::kImage;
  if (rpc == "DeletePool") return model::kPool;
  if (rpc == "DeleteSecurityGroup") return model::kSecurityGroup;
  return rpc == "DeleteNetwork" ? model::kNetwork : std::string_view();
}

bool may_work_later(ErrorCode code) { return code == ErrorCode::unavailable || code == ErrorCode::timed_out; }

}  // namespace

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
  } else if (const auto* leave = dynamic_cast<const v1::DeleteHostRequest*>(call.request.get())) {
    wish.deletes_kind = model::kHost;
    wish.deletes_name = leave->id();
  } else if (const auto* move = dynamic_cast<const v1::MoveVmRequest*>(call.request.get())) {
    wish.moves_vm = move->id();
  } else if (const auto* update = dynamic_cast<const v1::UpdateHostRequest*>(call.request.get())) {
    if (update->maintenance()) wish.empties_host = update->id();
  } else if (call.rpc == "CancelTask") {
    wish.cancels_task_id = dynamic_cast<const v1::ById&>(*call.request).id();
    const auto task = records_.tasks.find(wish.cancels_task_id);
    // Of a creation or a start: what was begun is ended. Of moves: guests stay where they are.
    const std::string action = task == records_.tasks.end() ? "" : task->second.action();
    if (!action.empty() && action != "vm.move" && action != "host.update") {
      wish.timeout_ms = 0;
      wish.vm_name = task->second.target_name();
    }
  } else if (const auto kind = deleted_kind(call.rpc); !kind.empty()) {
    wish.deletes_kind = kind;
    wish.deletes_name = dynamic_cast<const v1::ById&>(*call.request).id();
  } else {
    return;
  }
  wishes_.ask(number, std::move(wish), scheduler_.now().monotonic_ms);
}

void Client::end(std::uint64_t number, bool refused) {
  const auto* leave = dynamic_cast<const v1::DeleteHostRequest*>(calls_.at(number).request.get());
  HostWorld* machine = leave == nullptr || !leave->machine_is_off() ? nullptr : machine_of(leave->id());
  // One that stays comes to its storage again.
  const bool stays = machine != nullptr && !records_.hosts.at(machine->host_id).meta().has_deletion();
  if (refused && stays) machine->shut_out_as.clear();
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

}  // namespace gantry::sim
