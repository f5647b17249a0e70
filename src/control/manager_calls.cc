// API calls: reads are answered from the view at once, changes are admitted one after another.
#include <utility>

#include "control/answers.h"
#include "control/manager_impl.h"

namespace gantry::control {
namespace {

constexpr Milliseconds kCallDeadlineMs = 10'000;
// So much longer may the one under way take: for a store that says in time what it did not do.
constexpr Milliseconds kSettleMs = 5'000;
constexpr Milliseconds kRetryMs = 20;

tl::unexpected<Error> store_unavailable(const std::string& detail) {
  return fail(ErrorCode::unavailable, "the change was not made", "the store does not answer" + detail,
              "try again in a moment");
}

Error not_settled() {
  return Error{ErrorCode::timed_out, "it is not known whether the change was made",
               "the store took it and does not answer",
               "see whether its task or what it changes is there, or repeat it with the same idempotency key"};
}

}  // namespace

void ManagerCore::Impl::call(const std::string& rpc, const google::protobuf::Message& request,
                             const port::CallOptions& options, Answer done) {
  std::shared_ptr<google::protobuf::Message> copy(request.New());
  copy->CopyFrom(request);
  executor_.post([weak = weak_from_this(), rpc, copy, options, done = std::move(done)] {
    const auto self = weak.lock();
    if (!self) return;
    const Milliseconds deadline_ms = self->executor_.now().monotonic_ms + kCallDeadlineMs;
    self->enqueue({.rpc = rpc, .request = copy, .options = options, .done = done, .deadline_ms = deadline_ms});
  });
}

void ManagerCore::Impl::enqueue(Call call) {
  if (loaded_ && !is_change(call.rpc)) {
    call.done(answer_read(call.rpc, *call.request, view_));
    return;
  }
  calls_.push_back(std::move(call));
  admit_next();
}

// Those that wait too long behind one that cannot be settled, or for the records to be read. The one under way is
// answered too, but keeps its place until it is settled.
void ManagerCore::Impl::expire_calls() {
  const Milliseconds now_ms = executor_.now().monotonic_ms;
  if (call_under_way_ && !committed_call_ && calls_.front().deadline_ms + kSettleMs <= now_ms) {
    std::exchange(calls_.front().done, [](const auto&) {})(fail(not_settled()));
  }
  const std::size_t busy = call_under_way_ ? 1 : 0;
  while (calls_.size() > busy && calls_[busy].deadline_ms <= now_ms) {
    Answer done = std::move(calls_[busy].done);
    calls_.erase(calls_.begin() + static_cast<std::ptrdiff_t>(busy));
    done(store_unavailable(loaded_ ? " in time" : " yet"));
  }
}

void ManagerCore::Impl::admit_next() {
  while (loaded_ && !call_under_way_ && !calls_.empty() && view_.revision() >= calls_wait_for_) {
    Call& call = calls_.front();
    call_under_way_ = true;
    call_planned_at_ = view_.revision();
    if (!is_change(call.rpc)) {
      finish_call(answer_read(call.rpc, *call.request, view_));
      continue;
    }
    auto admitted = admit(call.rpc, *call.request, call.options, view_, executor_.now(), rng_);
    if (!admitted) {
      finish_call(fail(std::move(admitted.error())));
    } else if (admitted->txn.writes.empty()) {
      finish_call(std::move(admitted->answer));
    } else {
      commit_call(std::move(*admitted));
    }
  }
}

void ManagerCore::Impl::commit_call(Admitted admitted) {
  auto held = std::make_shared<Admitted>(std::move(admitted));
  const std::shared_ptr<const port::Txn> txn(held, &held->txn);
  commit_surely(txn, false, [held](Impl& self, const port::CommitResult& result, bool was_in_doubt) {
    self.call_committed(held, result, was_in_doubt);
  });
}

void ManagerCore::Impl::call_committed(const std::shared_ptr<Admitted>& admitted, const port::CommitResult& result,
                                       bool was_in_doubt) {
  switch (result.outcome) {
    case port::CommitOutcome::committed:
      committed_call_ = std::move(*admitted);
      calls_wait_for_ = result.revision;
      if (view_.revision() >= calls_wait_for_) view_changed({});
      break;
    case port::CommitOutcome::conflict:
      calls_wait_for_ = result.revision;
      if (was_in_doubt) {
        settle_call(admitted);
      } else {
        const bool view_was_old = result.revision > call_planned_at_;
        retry_call(": other changes came first, again and again", view_was_old ? 0 : kRetryMs);
      }
      break;
    case port::CommitOutcome::unavailable:
      if (is_invalid(result)) {
        finish_call(fail(ErrorCode::internal, "the change was not made", result.detail, "please report this"));
        admit_next();
        break;
      }
      [[fallthrough]];
    case port::CommitOutcome::unknown: retry_call(": " + result.detail, kRetryMs); break;
  }
}

// It may have been committed before the conflict that the repeat met. Its task tells; of a change without one the guard
// key does, which no other call can have written since.
void ManagerCore::Impl::settle_call(const std::shared_ptr<Admitted>& admitted) {
  const bool makes_task = admitted->answer_id == admitted->change_id;
  const std::string key =
      makes_task ? model::record_key(model::kTask, admitted->change_id) : std::string(kAdmissionKey);
  using Range = Result<port::Range, port::StoreError>;
  store_.range(
      {.first = key, .end = key + '\0'}, on_loop<Range>([admitted, makes_task](Impl& self, Range range) {
        if (!range) {
          self.later(kRetryMs, [admitted](Impl& again) { again.settle_call(admitted); });
        } else if (range->entries.empty() || (!makes_task && range->entries.front().value != admitted->change_id)) {
          self.retry_call("", 0);
        } else {
          self.call_committed(admitted, {.outcome = port::CommitOutcome::committed, .revision = range->revision}, true);
        }
      }));
}

// Plans it again from a newer view, or gives up: certainly nothing of it was written.
void ManagerCore::Impl::retry_call(const std::string& why, Milliseconds delay_ms) {
  if (executor_.now().monotonic_ms >= calls_.front().deadline_ms) {
    finish_call(store_unavailable(why));
    admit_next();
    return;
  }
  later(delay_ms, [](Impl& self) {
    self.call_under_way_ = false;
    self.admit_next();
  });
}

void ManagerCore::Impl::finish_call(Result<std::unique_ptr<google::protobuf::Message>> answer) {
  Answer done = std::move(calls_.front().done);
  calls_.pop_front();
  call_under_way_ = false;
  done(std::move(answer));
}

std::unique_ptr<google::protobuf::Message> ManagerCore::Impl::fresh_answer(Admitted& admitted) const {
  if (auto* accepted = dynamic_cast<v1::Accepted*>(admitted.answer.get())) {
    if (const auto* task = view_.find<v1::Task>(admitted.answer_id)) *accepted->mutable_task() = *task;
  } else if (const auto* task = view_.find<v1::Task>(admitted.answer_id)) {
    admitted.answer = std::make_unique<v1::Task>(*task);
  } else if (const auto* image = view_.find<v1::Image>(admitted.answer_id)) {
    admitted.answer = std::make_unique<v1::Image>(*image);
  }
  return std::move(admitted.answer);
}

}  // namespace gantry::control
