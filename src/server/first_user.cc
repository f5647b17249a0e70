#include <google/protobuf/util/time_util.h>

#include <future>
#include <memory>

#include "base/id.h"
#include "model/keys.h"
#include "server/accounts.h"
#include "server/secrets.h"

namespace gantry::server {
namespace {

Error store_silent(const std::string& cause) {
  return Error{ErrorCode::unavailable, "the users cannot be read", cause,
               "look at the store's state, then start again"};
}

Result<bool> any_user(port::Store& store) {
  const auto promise = std::make_shared<std::promise<Result<port::Range, port::StoreError>>>();
  auto future = promise->get_future();
  store.range({.first = model::prefix_of(model::kUser), .limit = 1},
              [promise](Result<port::Range, port::StoreError> range) { promise->set_value(std::move(range)); });
  const auto range = future.get();
  if (!range) return fail(store_silent("the store is unavailable"));
  return !range->entries.empty();
}

port::CommitResult commit(port::Store& store, port::Txn txn) {
  const auto promise = std::make_shared<std::promise<port::CommitResult>>();
  auto future = promise->get_future();
  store.commit(std::move(txn), [promise](port::CommitResult result) { promise->set_value(std::move(result)); });
  return future.get();
}

}  // namespace

Result<std::string> ensure_first_user(port::Store& store, Now now) {
  auto there = any_user(store);
  if (!there) return fail(there.error());
  if (*there) return std::string();

  const std::string password = new_password();
  auto hash = hash_password(password);
  if (!hash) return fail(hash.error());
  Rng rng(random_seed());
  v1::User user;
  user.mutable_meta()->set_id(make_id("user", rng));
  user.mutable_meta()->set_name("admin");
  *user.mutable_meta()->mutable_created_at() = google::protobuf::util::TimeUtil::MillisecondsToTimestamp(now.unix_ms);
  user.mutable_meta()->set_schema_version(1);
  user.set_password_hash(*hash);
  user.set_role(v1::ADMINISTRATOR);
  const std::string key = model::record_key(model::kUser, "admin");

  // An unknown outcome is tried again with the same record: when it was written after all the compare fails, and the
  // password is still the one in hand.
  bool maybe_written = false;
  for (int attempt = 0; attempt < 5; ++attempt) {
    port::Txn txn;
    txn.compares.push_back({key, 0});
    txn.writes.push_back({.key = key, .value = user.SerializeAsString()});
    const auto result = commit(store, std::move(txn));
    if (result.outcome == port::CommitOutcome::committed) return password;
    if (result.outcome == port::CommitOutcome::conflict) return maybe_written ? password : std::string();
    maybe_written = maybe_written || result.outcome == port::CommitOutcome::unknown;
  }
  return fail(store_silent("user \"admin\" could not be written"));
}

}  // namespace gantry::server
