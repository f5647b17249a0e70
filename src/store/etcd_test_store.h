// Opening stores in etcd for tests.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/etcd_store.h"
#include "store/etcd_test_cluster.h"
#include "store/test_support.h"

namespace gantry::store {

Now test_now();

inline EtcdStoreOptions etcd_options(std::vector<std::string> endpoints) {
  EtcdStoreOptions options;
  options.endpoints = std::move(endpoints);
  options.clock = test_now;
  options.open_timeout_ms = std::chrono::milliseconds(kPatience).count();
  return options;
}

// For tests in which nothing fails, on machines that may be very busy.
inline EtcdStoreOptions patient_options(std::vector<std::string> endpoints) {
  EtcdStoreOptions options = etcd_options(std::move(endpoints));
  options.request_timeout_ms = std::chrono::milliseconds(kPatience).count() / 2;
  return options;
}

inline std::unique_ptr<port::Store> must_open(const EtcdStoreOptions& options) {
  auto store = open_etcd_store(options);
  if (!store) throw std::runtime_error(store.error().to_text());
  return std::move(*store);
}

}  // namespace gantry::store
