// Every committed record, as the store itself tells it: what the checks hold everything else against.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "gantry/v1/network.pb.h"
#include "gantry/v1/storage.pb.h"
#include "gantry/v1/task.pb.h"
#include "gantry/v1/vm.pb.h"
#include "port/store.h"
#include "sim/trace.h"

namespace gantry::sim {

class Records {
 public:
  Records(port::Store& store, Trace& trace);

  std::map<std::string, v1::Vm> vms;
  std::map<std::string, v1::Volume> volumes;
  std::map<std::string, v1::Image> images;
  std::map<std::string, v1::Pool> pools;
  std::map<std::string, v1::Network> networks;
  std::map<std::string, v1::Task> tasks;

  // The last revision that changed more than a host's own record, whose heartbeats never end.
  [[nodiscard]] port::Revision last_news() const { return last_news_; }
  // Ever, also if it was removed since.
  [[nodiscard]] bool was_committed(const std::string& id) const { return committed_.contains(id); }
  // When it came into the store; 0 when it never did.
  [[nodiscard]] Milliseconds committed_at_ms(const std::string& id) const {
    const auto found = committed_.find(id);
    return found == committed_.end() ? 0 : found->second;
  }
  [[nodiscard]] bool knows_pool_ready() const;
  [[nodiscard]] bool deletion_was_requested(const std::string& id) const { return deleting_.contains(id); }

 private:
  void apply(const port::ChangeBatch& batch);
  template <class Record>
  void change(std::map<std::string, Record>& records, const port::Change& change, const std::string& id);
  void check_task(const v1::Task* before, const v1::Task& after);

  Trace& trace_;
  std::map<std::string, Milliseconds> committed_;
  std::set<std::string> deleting_;
  port::Revision last_news_ = 0;
  std::unique_ptr<port::Watch> watch_;
};

}  // namespace gantry::sim
