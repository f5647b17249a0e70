// The manager's process: the real ManagerCore over the store with its faults, by its machine's clock. Destroying it is
// a crash.
#pragma once

#include <memory>
#include <string>

#include "control/manager.h"
#include "sim/stage.h"
#include "sim/switchboard.h"
#include "store/faulty_store.h"

namespace gantry::sim {

// What hosts are heard to have measured: in a guest's modelled world each uses the one processor it has, so that
// nothing else can be true, whatever a hostile host says.
class SampleCheck final : public port::SampleSink {
 public:
  explicit SampleCheck(Trace& trace) : trace_(trace) {}
  void take(const v1::Sample& sample) override;

 private:
  Trace& trace_;
};

class ManagerProcess {
 public:
  ManagerProcess(Stage& stage, MachineClock clock, port::Store& store, port::Executor& store_executor,
                 Switchboard& board, const std::string& own_host_id);
  ~ManagerProcess();
  ManagerProcess(const ManagerProcess&) = delete;
  ManagerProcess& operator=(const ManagerProcess&) = delete;

  [[nodiscard]] port::Manager& core() { return *core_; }
  void set_store_faults(const store::FaultRates& rates) { store_.set_rates(rates); }

 private:
  Switchboard& board_;
  SimExecutor executor_;
  store::FaultyStore store_;
  SampleCheck samples_;
  std::unique_ptr<control::ManagerCore> core_;
};

}  // namespace gantry::sim
