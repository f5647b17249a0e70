#include "app/daemon/authority_store.h"

#include <optional>

#include "app/daemon/store_calls.h"
#include "gantry/v1/join.pb.h"
#include "model/keys.h"

namespace gantry::app {
namespace {

constexpr int kTries = 5;

Error store_silent(std::string cause) {
  return Error{ErrorCode::unavailable, "the cluster's authority cannot be read", std::move(cause),
               "look at the store's state, then start again"};
}

Result<std::optional<link::Credentials>> read(port::Store& store, const std::string& key) {
  const auto range = wait_for_range(store, {.first = key, .end = key + '\0', .limit = 1});
  if (!range) return fail(store_silent("the store is unavailable"));
  if (range->entries.empty()) return std::optional<link::Credentials>();
  v1::ClusterAuthority record;
  if (!record.ParseFromString(range->entries.front().value) || !link::validity_of(record.certificate_pem())) {
    return fail(ErrorCode::corrupt, "the cluster's authority cannot be used", "its record is damaged",
                "restore the store from a backup: the certificates of all hosts come from it");
  }
  return link::Credentials{record.certificate_pem(), record.key_pem()};
}

}  // namespace

Result<link::Credentials> ensure_authority(port::Store& store, Now now) {
  const std::string key = model::record_key(model::kAuthority, "cluster");
  std::string trouble;
  // Whatever becomes of a commit: what is there in the end is the one that serves.
  for (int attempt = 0; attempt < kTries; ++attempt) {
    auto found = read(store, key);
    if (!found) return fail(std::move(found.error()));
    if (*found) return std::move(**found);
    auto made = link::make_authority({now.unix_ms, now.unix_ms + link::kAuthorityMs});
    if (!made) return made;
    v1::ClusterAuthority record;
    record.set_certificate_pem(made->certificate_pem);
    record.set_key_pem(made->key_pem);
    port::Txn txn;
    txn.compares.push_back({key, 0});
    txn.writes.push_back({.key = key, .value = record.SerializeAsString()});
    trouble = wait_for_commit(store, std::move(txn)).detail;
  }
  return fail(store_silent(trouble.empty() ? "it could not be written" : trouble));
}

}  // namespace gantry::app
