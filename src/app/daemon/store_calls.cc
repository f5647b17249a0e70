#include "app/daemon/store_calls.h"

#include <future>
#include <memory>
#include <utility>

namespace gantry::app {

Result<port::Range, port::StoreError> wait_for_range(port::Store& store, port::RangeRequest request) {
  using Answer = Result<port::Range, port::StoreError>;
  const auto promise = std::make_shared<std::promise<Answer>>();
  auto answer = promise->get_future();
  store.range(std::move(request), [promise](Answer range) { promise->set_value(std::move(range)); });
  return answer.get();
}

port::CommitResult wait_for_commit(port::Store& store, port::Txn txn) {
  const auto promise = std::make_shared<std::promise<port::CommitResult>>();
  auto answer = promise->get_future();
  store.commit(std::move(txn), [promise](port::CommitResult result) { promise->set_value(std::move(result)); });
  return answer.get();
}

}  // namespace gantry::app
