#include "control/admission.h"

#include <algorithm>
#include <functional>
#include <map>

#include "control/assignments.h"
#include "model/sha256.h"
#include "model/state.h"
#include "model/validate.h"

namespace gantry::control {
namespace {

using google::protobuf::Message;
using Handler = std::function<Result<void>(Change&, const Message&)>;
using Digest = std::string;

template <class Request>
Handler handler(Result<void> (*handle)(Change&, const Request&)) {
  return [handle](Change& change, const Message& message) -> Result<void> {
    const auto* request = dynamic_cast<const Request*>(&message);
    if (request == nullptr) return fail(ErrorCode::internal, "a call came with a request of another type");
    if (auto valid = model::validate(*request); !valid) return fail(std::move(valid.error()));
    return handle(change, *request);
  };
}

const std::map<std::string, Handler>& handlers() {
  static const std::map<std::string, Handler> kHandlers = {
      {"CreateVm", handler(&create_vm)},
      {"UpdateVm", handler(&update_vm)},
      {"DeleteVm", handler(&delete_vm)},
      {"StartVm", handler(&start_vm)},
      {"StopVm", handler(&stop_vm)},
      {"RestartVm", handler(&restart_vm)},
      {"ResetVm", handler(&reset_vm)},
      {"PauseVm", handler(&pause_vm)},
      {"ResumeVm", handler(&resume_vm)},
      {"MoveVm", handler(&move_vm)},
      {"CreateVolume", handler(&create_volume)},
      {"ResizeVolume", handler(&resize_volume)},
      {"MoveVolume", handler(&move_volume)},
      {"DeleteVolume", handler(&delete_volume)},
      {"CreateImage", handler(&create_image)},
      {"DeleteImage", handler(&delete_image)},
      {"CreateNetwork", handler(&create_network)},
      {"DeleteNetwork", handler(&delete_network)},
      {"CreateSecurityGroup", handler(&create_security_group)},
      {"UpdateSecurityGroup", handler(&update_security_group)},
      {"DeleteSecurityGroup", handler(&delete_security_group)},
      {"CreatePool", handler(&create_pool)},
      {"DeletePool", handler(&delete_pool)},
      {"CreateRule", handler(&create_rule)},
      {"UpdateRule", handler(&update_rule)},
      {"DeleteRule", handler(&delete_rule)},
      {"UpdateHost", handler(&update_host)},
      {"DeleteHost", handler(&delete_host)},
      {"AdmitHost", handler(&admit_host)},
  };
  return kHandlers;
}

std::unique_ptr<Message> accepted_answer(const v1::Task& task, bool with_task) {
  auto answer = std::make_unique<v1::Accepted>();
  if (with_task) *answer->mutable_task() = task;
  *answer->mutable_plan() = task.plan();
  return answer;
}

// Printable ASCII without "/", which parts the store's keys.
bool is_idempotency_key(const std::string& key) {
  return key.size() <= 128 &&
         std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '/'; });
}

// The task that the same call was accepted with before; nullptr when there was none. A conflict when the call was
// another, or its task is forgotten: to do it again may be to do it twice.
Result<const v1::Task*> earlier_task(const View& view, const port::CallOptions& options, const Digest& digest) {
  const auto& keys = view.idempotency_keys();
  const auto found = keys.find(model::idempotency_key(options.actor, options.idempotency_key));
  if (found == keys.end()) return nullptr;
  const v1::IdempotencyKey& held = found->second.record;
  if (held.task_id().empty()) return nullptr;
  const std::string summary = "the idempotency key \"" + options.idempotency_key + "\" was used before";
  if (held.request_digest() != digest) {
    return fail(ErrorCode::conflict, summary, "it came with another request (task " + held.task_id() + ")",
                "use a new key for each request", "idempotency_key_reused");
  }
  if (const auto* task = view.find<v1::Task>(held.task_id())) return task;
  return fail(ErrorCode::conflict, summary,
              "the same request was accepted as task " + held.task_id() + ", which ended and is forgotten",
              "look at what it was to change; to make the change again, use a new key", "task_forgotten");
}

void keep_idempotency_key(Change& change, const Digest& digest) {
  const port::CallOptions& options = change.options();
  const std::string key = model::idempotency_key(options.actor, options.idempotency_key);
  const auto& keys = change.view().idempotency_keys();
  const auto found = keys.find(key);
  change.draft.compare(key, found == keys.end() ? 0 : found->second.revision);
  v1::IdempotencyKey held;
  held.set_task_id(change.task_id());
  held.set_request_digest(digest);
  set_time(*held.mutable_accepted_at(), change.now().unix_ms);
  change.draft.put(key, to_bytes(held));
  change.task.set_idempotency_key(options.idempotency_key);
}

// That it waits for a host that is not there is said before.
void warn_of_absence(Change& change) {
  if (model::is_ended(change.task.state())) return;
  const auto* host = change.view().find<v1::Host>(host_of_id(change.draft, change.task.target_id()));
  if (host == nullptr || host->status().state() == v1::HostStatus::CONNECTED) return;
  change.warn("host " + host->meta().name() + " is not connected: this waits until it is");
}

Result<Admitted> admit_with_task(const std::string& rpc, const Message& request, const port::CallOptions& options,
                                 const View& view, Now now, Rng& rng) {
  const bool keyed = !options.idempotency_key.empty() && !options.dry_run;
  Digest digest;
  if (keyed) {
    if (!is_idempotency_key(options.idempotency_key)) {
      return model::bad_field("Idempotency-Key", "it is not up to 128 printable characters without spaces and \"/\"",
                              "a random UUID serves well");
    }
    digest = model::sha256_hex(rpc + "\n" + to_bytes(request));
    auto earlier = earlier_task(view, options, digest);
    if (!earlier) return fail(std::move(earlier.error()));
    if (*earlier != nullptr) {
      return Admitted{.txn = {}, .answer_id = (*earlier)->meta().id(), .answer = accepted_answer(**earlier, true)};
    }
  }
  Draft draft(view);
  Change change(draft, options, now, rng);
  if (auto handled = handlers().at(rpc)(change, request); !handled) return fail(std::move(handled.error()));
  warn_of_absence(change);
  if (options.dry_run) return Admitted{.txn = {}, .answer = accepted_answer(change.task, false)};
  if (keyed) keep_idempotency_key(change, digest);
  change.draft.create(change.task);
  change.draft.guard(change.task_id());
  return Admitted{.txn = change.draft.build(),
                  .answer_id = change.task_id(),
                  .change_id = change.task_id(),
                  .answer = accepted_answer(change.task, true)};
}

// CancelTask and UploadImage: they answer with the record they change and make no task.
Result<Admitted> admit_without_task(const std::string& rpc, const Message& message, const port::CallOptions& options,
                                    const View& view, Now now, Rng& rng) {
  const auto* request = dynamic_cast<const v1::ById*>(&message);
  if (request == nullptr) return fail(ErrorCode::internal, "a call came with a request of another type");
  if (auto valid = model::validate(*request); !valid) return fail(std::move(valid.error()));
  Draft draft(view);
  Change change(draft, options, now, rng);
  auto handled = rpc == "CancelTask" ? cancel_task(change, request->id()) : announce_upload(change, request->id());
  if (!handled) return fail(std::move(handled.error()));
  if (options.dry_run) return Admitted{.txn = {}, .answer = accepted_answer(change.task, false)};
  change.draft.guard(change.task_id());
  Admitted admitted{.txn = change.draft.build(), .answer_id = change.task.target_id(), .change_id = change.task_id()};
  if (rpc == "CancelTask") {
    admitted.answer = std::make_unique<v1::Task>(*change.draft.find<v1::Task>(admitted.answer_id));
  } else {
    admitted.answer = std::make_unique<v1::Image>(*change.draft.find<v1::Image>(admitted.answer_id));
  }
  return admitted;
}

Result<Admitted> admit_token(const Message& message, const port::CallOptions& options, const View& view, Now now,
                             Rng& rng) {
  const auto* request = dynamic_cast<const v1::KeepHostTokenRequest*>(&message);
  if (request == nullptr) return fail(ErrorCode::internal, "a call came with a request of another type");
  if (auto valid = model::validate(*request); !valid) return fail(std::move(valid.error()));
  Draft draft(view);
  Change change(draft, options, now, rng);
  auto token = keep_host_token(change, *request);
  if (!token) return fail(std::move(token.error()));
  if (options.dry_run) return Admitted{.txn = {}, .answer = accepted_answer(change.task, false)};
  change.draft.guard(change.task_id());
  return Admitted{.txn = change.draft.build(),
                  .change_id = change.task_id(),
                  .answer = std::make_unique<v1::HostToken>(std::move(*token))};
}

}  // namespace

bool is_change(const std::string& rpc) {
  return rpc == "CancelTask" || rpc == "KeepHostToken" || rpc == "UploadImage" || handlers().count(rpc) != 0;
}

Result<Admitted> admit(const std::string& rpc, const Message& request, const port::CallOptions& options,
                       const View& view, Now now, Rng& rng) {
  if (handlers().count(rpc) != 0) return admit_with_task(rpc, request, options, view, now, rng);
  if (rpc == "KeepHostToken") return admit_token(request, options, view, now, rng);
  return admit_without_task(rpc, request, options, view, now, rng);
}

}  // namespace gantry::control
