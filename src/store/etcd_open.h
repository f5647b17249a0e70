// What must hold before a store in etcd is used: its address, its certificates, and that somebody answers.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "store/etcd_client.h"
#include "store/etcd_pems.h"
#include "store/etcd_store.h"

namespace gantry::store {

// The contents of the files that the options name.
Result<EtcdPems> read_etcd_pems(const EtcdStoreOptions& options);

struct EtcdAnswer {
  // 0: none.
  port::Revision present = 0;
  // Asking again would bring the same.
  bool refused = false;
  std::string trouble;
};

// Asks again and again, by `ask`, until there is a revision or the time to open is up.
using EtcdAsk = std::function<void(std::function<void(const EtcdAnswer&)>)>;
Result<void> wait_for_etcd(const EtcdStoreOptions& options, const EtcdAsk& ask);

// Nodes of several clusters are refused: which of them has the records is not for whoever answers first to say.
Result<void> see_one_cluster(const EtcdClient::Clusters& clusters);

}  // namespace gantry::store
