#include "server/store_client.h"

namespace gantry::server {
namespace {

Error store_error(std::string cause) {
  return Error{ErrorCode::unavailable, "the store does not answer", std::move(cause), "try again in a moment"};
}

Result<bool> outcome_of(const port::CommitResult& result) {
  switch (result.outcome) {
    case port::CommitOutcome::committed: return true;
    case port::CommitOutcome::conflict: return false;
    case port::CommitOutcome::unavailable: return fail(store_error(result.detail));
    case port::CommitOutcome::unknown: break;
  }
  return fail(ErrorCode::unavailable, "nobody knows whether the change was kept", result.detail,
              "look before you try again", "outcome_unknown");
}

}  // namespace

void StoreClient::get(const std::string& key, std::function<void(Result<std::optional<port::Entry>>)> done) const {
  const auto answer = [poster = poster_, done = std::move(done)](Result<port::Range, port::StoreError> range) {
    poster->post([done, range = std::move(range)] {
      if (!range) return done(fail(store_error("it is unavailable")));
      if (range->entries.empty()) return done(std::optional<port::Entry>());
      done(std::optional<port::Entry>(range->entries.front()));
    });
  };
  store_->range({.first = key, .end = key + '\0', .limit = 1}, answer);
}

void StoreClient::range(const std::string& prefix, std::function<void(Result<port::Range>)> done) const {
  const auto answer = [poster = poster_, done = std::move(done)](Result<port::Range, port::StoreError> range) {
    poster->post([done, range = std::move(range)]() mutable {
      if (!range) return done(fail(store_error("it is unavailable")));
      done(std::move(*range));
    });
  };
  store_->range({.first = prefix}, answer);
}

void StoreClient::commit(port::Txn txn, std::function<void(Result<bool>)> done) const {
  store_->commit(std::move(txn), [poster = poster_, done = std::move(done)](const port::CommitResult& result) {
    poster->post([done, result] { done(outcome_of(result)); });
  });
}

}  // namespace gantry::server
