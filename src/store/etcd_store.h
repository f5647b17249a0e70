// The store in an etcd v3 cluster (3.4 and later), for several managers. The cluster should be Gantry's own: keys are
// used as they are, and history is forgotten for everybody.
//
// One thread does everything and sleeps when there is nothing to do. All calls go to one node until it fails, then to
// the next; reads are tried again until they are answered or their time is up, commits only while it is certain that
// they were not carried out. A commit is unknown when its answer was lost: the connection broke after it was sent, or
// its time was up. Calls that do not wait for each other have no order among them, but for this: a watch from 0 tells
// of every commit made through this store after it.
//
// Failures: an etcd that is full makes commits unavailable, or unknown at the moment when it becomes full. Watches
// outlive every outage: they go on where they were, and fail only when that was forgotten meanwhile. A commit that
// makes no sense, is larger than etcd takes (128 writes and 128 compares by its --max-txn-ops, 1.5 MiB by its
// --max-request-bytes) or names a lease that is not there is unavailable, and `detail` says so.
//
// Leases: etcd counts in whole seconds and has a shortest time of its own (1.5 times its election timeout); a lease's
// time is rounded up to both. It may end some seconds late, and gets its whole time again when etcd's leader changes.
// Nothing may rest on how long it lasts: an etcd of Debian 12 (3.4.23) can end one early around such a change
// (etcd-io/etcd#15247). What a lease guards must be compared in the transaction itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "port/store.h"

namespace gantry::store {

struct EtcdStoreOptions {
  // HOST:PORT of the nodes' client side, the one to prefer first. At least one.
  std::vector<std::string> endpoints;
  // PEM files. With the authority's certificate given, connections are TLS and the nodes must prove who they are; with
  // a certificate and its key too, so does this store.
  std::string ca_path = {};
  std::string certificate_path = {};
  std::string key_path = {};
  // For timeouts; called on the store's thread. Must be given.
  std::function<Now()> clock;
  // What etcd's nodes do, for a log: called on the store's thread when one fails or serves again. May be empty.
  std::function<void(const std::string&)> notice = {};
  // Each request to etcd is answered or given up within this time; most calls are one request.
  Milliseconds request_timeout_ms = 5'000;
  // How long opening waits for a node that answers.
  Milliseconds open_timeout_ms = 10'000;
  // History beyond so many revisions is forgotten bit by bit, as if by compact(). 0: only by compact().
  port::Revision history_revisions_max = 10'000;
  // Larger ranges are read in pieces of so many entries, all of one revision.
  std::size_t page_entries = 100;
};

// The addresses in "etcd://HOST:PORT,HOST:PORT". invalid_argument when it is not of that form.
Result<std::vector<std::string>> parse_etcd_address(const std::string& address);

// Waits until a node answers. Errors: invalid_argument; unavailable, with the cause at each node, or because the nodes
// belong to several clusters; what reading the PEM files met. The destructor ends what is under way (commits that were
// sent become unknown), answers the rest with unavailable, and must not run on a callback's thread.
Result<std::unique_ptr<port::Store>> open_etcd_store(EtcdStoreOptions options);

}  // namespace gantry::store
