// Between the words of port/store.h and etcd's. No I/O; what comes from etcd is not trusted to make sense.
#pragma once

#include <optional>
#include <string>

#include "port/store.h"
#include "store/etcd_rpc.pb.h"
#include "store/etcd_status.h"

namespace gantry::store {

// etcd's revisions and leases are signed. 0 for what is no revision.
port::Revision revision_of(const etcdserverpb::ResponseHeader& header);

// Keys with first <= key < end as etcd wants them said; `end` empty: to the last key.
void set_range(const std::string& first, const std::string& end, std::string* key, std::string* range_end);

// The request that only asks for the present revision, or whether there is one.
etcdserverpb::RangeRequest present_request();

etcdserverpb::TxnRequest to_request(const port::Txn& txn);
// A lease that no etcd can have given; none: there is no such.
std::optional<port::LeaseId> impossible_lease(const port::Txn& txn);
port::CommitResult to_result(const port::Txn& txn, const EtcdReply<etcdserverpb::TxnResponse>& reply,
                             const std::string& troubles);

// None: it makes no sense.
std::optional<port::Entry> to_entry(const etcdserverpb::KeyValue& kv);

// In etcd's whole seconds, rounded up.
std::int64_t lease_seconds(Milliseconds ttl_ms);

}  // namespace gantry::store
