#include "store/etcd_messages.h"

#include <algorithm>
#include <limits>

namespace gantry::store {
namespace {

constexpr std::uint64_t kHighest = std::numeric_limits<std::int64_t>::max();

std::int64_t to_signed(std::uint64_t number) { return static_cast<std::int64_t>(std::min(number, kHighest)); }

std::string refusal(const port::Txn& txn, const EtcdStatus& status) {
  switch (status.code) {
    case EtcdCode::not_found: return "no such lease, or one that has ended";
    case EtcdCode::resource_exhausted: return "invalid: the transaction is larger than etcd takes: " + status.message;
    case EtcdCode::invalid_argument: break;
    default: return "etcd refuses it: " + status.message;
  }
  if (status.message.find("too many operations") != std::string::npos) {
    return "invalid: etcd takes no transaction of " + std::to_string(txn.writes.size()) + " writes and " +
           std::to_string(txn.compares.size()) + " compares; its option --max-txn-ops allows 128 unless set";
  }
  if (status.message.find("too large") != std::string::npos) {
    return "invalid: the transaction is larger than etcd takes; its option --max-request-bytes allows 1.5 MiB unless "
           "set";
  }
  return "invalid: " + status.message;
}

}  // namespace

port::Revision revision_of(const etcdserverpb::ResponseHeader& header) {
  return header.revision() > 0 ? static_cast<port::Revision>(header.revision()) : 0;
}

void set_range(const std::string& first, const std::string& end, std::string* key, std::string* range_end) {
  const std::string lowest(1, '\0');
  *key = first.empty() ? lowest : first;
  if (end.empty()) {
    *range_end = lowest;
  } else if (*key < end) {
    *range_end = end;
  } else {
    // Nothing. The lowest key as an end would mean everything.
    *key = *range_end = std::string(1, '\1');
  }
}

etcdserverpb::RangeRequest present_request() {
  etcdserverpb::RangeRequest request;
  request.set_key(std::string(1, '\0'));
  request.set_count_only(true);
  return request;
}

etcdserverpb::TxnRequest to_request(const port::Txn& txn) {
  etcdserverpb::TxnRequest request;
  for (const port::Compare& compare : txn.compares) {
    auto* one = request.add_compare();
    one->set_result(etcdserverpb::Compare::EQUAL);
    one->set_target(etcdserverpb::Compare::MOD);
    one->set_key(compare.key);
    one->set_mod_revision(to_signed(compare.modified));
  }
  for (const port::Write& write : txn.writes) {
    auto* one = request.add_success();
    if (write.kind == port::Write::Kind::erase) {
      one->mutable_request_delete_range()->set_key(write.key);
      continue;
    }
    auto* put = one->mutable_request_put();
    put->set_key(write.key);
    put->set_value(write.value);
    put->set_lease(to_signed(write.lease));
  }
  if (txn.writes.empty()) {
    // etcd lets one node answer a transaction without operations, out of its past.
    *request.add_success()->mutable_request_range() = present_request();
    *request.add_failure()->mutable_request_range() = present_request();
  }
  return request;
}

std::optional<port::LeaseId> impossible_lease(const port::Txn& txn) {
  for (const port::Write& write : txn.writes) {
    if (write.lease > kHighest) return write.lease;
  }
  return std::nullopt;
}

port::CommitResult to_result(const port::Txn& txn, const EtcdReply<etcdserverpb::TxnResponse>& reply,
                             const std::string& troubles) {
  using Outcome = port::CommitOutcome;
  const std::string why = troubles.empty() ? reply.status.message : troubles;
  switch (reply.fate) {
    case EtcdFate::done: break;
    case EtcdFate::refused: return {Outcome::unavailable, 0, refusal(txn, reply.status)};
    case EtcdFate::not_done: return {Outcome::unavailable, 0, "etcd does not take it: " + why};
    case EtcdFate::in_doubt:
      // What writes nothing was not written.
      if (txn.writes.empty()) return {Outcome::unavailable, 0, "etcd does not answer: " + why};
      return {Outcome::unknown, 0, "etcd's answer was lost: " + why};
  }
  const port::Revision revision = revision_of(reply.message.header());
  if (revision == 0) return {Outcome::unknown, 0, "etcd's answer makes no sense: it has no revision"};
  return {reply.message.succeeded() ? Outcome::committed : Outcome::conflict, revision};
}

std::optional<port::Entry> to_entry(const etcdserverpb::KeyValue& kv) {
  if (kv.key().empty() || kv.mod_revision() <= 0 || kv.create_revision() <= 0 || kv.lease() < 0 ||
      kv.create_revision() > kv.mod_revision()) {
    return std::nullopt;
  }
  return port::Entry{kv.key(), kv.value(), static_cast<port::Revision>(kv.create_revision()),
                     static_cast<port::Revision>(kv.mod_revision()), static_cast<port::LeaseId>(kv.lease())};
}

std::int64_t lease_seconds(Milliseconds ttl_ms) { return ttl_ms / 1000 + (ttl_ms % 1000 > 0 ? 1 : 0); }

}  // namespace gantry::store
