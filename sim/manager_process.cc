#include "sim/manager_process.h"

#include <string>

namespace gantry::sim {

void SampleCheck::take(const v1::Sample& sample) {
  constexpr double kAll = 100.5;
  const double percent = sample.has_vm() ? sample.vm().cpu_percent() : sample.host().cpu_percent();
  // False for NaN.
  if (percent >= 0 && percent <= kAll) return;
  trace_.violation("the manager believes that " + sample.id() + " used " + std::to_string(percent) +
                   " % of a processor");
}

ManagerProcess::ManagerProcess(Stage& stage, MachineClock clock, port::Store& store, port::Executor& store_executor,
                               Switchboard& board, const std::string& own_host_id)
    : board_(board),
      executor_(stage.scheduler, clock),
      store_(store, store_executor, stage.rng.next()),
      samples_(stage.trace) {
  stage.trace.note("manager", "starts");
  control::ManagerOptions options;
  options.seed = stage.rng.next();
  options.default_pool_path = "/pool";
  options.own_hosts = {own_host_id};
  options.samples = &samples_;
  core_ = std::make_unique<control::ManagerCore>(store_, board_, executor_, options);
  if (!stage.calm) store_.set_rates(stage.swarm.store);
  core_->start();
  board_.manager_up(true);
}

ManagerProcess::~ManagerProcess() {
  board_.manager_up(false);
  core_.reset();
}

}  // namespace gantry::sim
