// The store as the server's loop sees it: answers come on the loop, failures as Errors.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "port/store.h"
#include "server/poster.h"

namespace gantry::server {

class StoreClient {
 public:
  StoreClient(port::Store& store, PosterPtr poster) : store_(&store), poster_(std::move(poster)) {}

  void get(const std::string& key, std::function<void(Result<std::optional<port::Entry>>)> done) const;
  void range(const std::string& prefix, std::function<void(Result<port::Range>)> done) const;
  // True: committed; false: conflict. An outcome nobody knows is an error with reason "outcome_unknown".
  void commit(port::Txn txn, std::function<void(Result<bool>)> done) const;

 private:
  port::Store* store_;
  PosterPtr poster_;
};

}  // namespace gantry::server
