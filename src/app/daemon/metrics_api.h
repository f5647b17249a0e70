// The manager with what was measured: it answers for that itself, all else is the manager's.
//
// Threads: as port::Manager.
#pragma once

#include <memory>
#include <string>

#include "control/manager.h"
#include "gantry/v1/routes.pb.h"
#include "metrics/recorder.h"
#include "port/executor.h"
#include "port/manager.h"
#include "runtime/worker_pool.h"

namespace gantry::app {

class MetricsApi final : public port::Manager {
 public:
  // All must outlive it, and the executor have stopped when it ends.
  MetricsApi(control::ManagerCore& manager, metrics::Recorder& recorder, port::Executor& executor)
      : manager_(manager), recorder_(recorder), executor_(executor) {}

  void call(const std::string& rpc, const google::protobuf::Message& request, const port::CallOptions& options,
            Answer done) override;

 private:
  template <class Record>
  void answer_metrics(const v1::GetMetricsRequest& request, bool is_host, const Answer& done);
  void answer_prometheus(const Answer& done);
  [[nodiscard]] v1::Top top() const;

  control::ManagerCore& manager_;
  metrics::Recorder& recorder_;
  port::Executor& executor_;
  runtime::WorkerPool writer_{1};
};

}  // namespace gantry::app
