// The host link within one process: two queues on one executor. It behaves as a stream between machines does: messages
// arrive later, in order, and never within the call that sent them.
#pragma once

#include <memory>
#include <string>

#include "port/executor.h"
#include "port/link.h"

namespace gantry::link {

class LocalLink {
 public:
  // `executor` must outlive it. All use is on the executor's thread.
  explicit LocalLink(port::Executor& executor);
  ~LocalLink();
  LocalLink(const LocalLink&) = delete;
  LocalLink& operator=(const LocalLink&) = delete;

  port::ManagerLink& manager_end();
  port::HostLink& host_end();
  // Once both ends have their handlers.
  void connect(const std::string& host_id);

 private:
  class Ends;
  std::shared_ptr<Ends> ends_;
};

}  // namespace gantry::link
