// What TLS to etcd needs, as PEM texts; all empty: no TLS.
#pragma once

#include <string>

namespace gantry::store {

struct EtcdPems {
  std::string ca;
  std::string certificate;
  std::string key;
};

}  // namespace gantry::store
