// A machine that joins the cluster and then lies: it speaks of what is others', of what is nobody's, of itself, and of
// times and numbers that make no sense. None of it may make a difference, and in the end it leaves.
#pragma once

#include <cstdint>
#include <string>

#include "base/rng.h"
#include "gantry/v1/link.pb.h"
#include "port/manager.h"
#include "sim/client.h"
#include "sim/records.h"
#include "sim/scheduler.h"
#include "sim/sim_link.h"
#include "sim/trace.h"

namespace gantry::sim {

class HostileHost {
 public:
  HostileHost(Scheduler& scheduler, Trace& trace, std::uint64_t seed, const Records& records, SimLink& link)
      : scheduler_(scheduler), trace_(trace), rng_(seed), records_(records), link_(link) {}

  // Null while it is down.
  void set_manager(port::Manager* manager) { manager_ = manager; }
  void join() { ask_for_token(); }
  // Once it has joined, `client` takes leave of it. It goes on talking.
  void leave(Client& client);
  // Whether it has left, or is as if it had never come.
  [[nodiscard]] bool settled() const { return client_ != nullptr && (!admission_under_way_ || !host_id_.empty()); }

 private:
  using Answer = Result<std::unique_ptr<google::protobuf::Message>>;

  void ask_for_token();
  void ask_for_admission();
  // Calls the manager; `next` unless there is an answer that `take` takes.
  void ask(const std::string& rpc, const google::protobuf::Message& request, bool (HostileHost::*take)(const Answer&),
           void (HostileHost::*next)());
  bool take_token(const Answer& answer);
  bool take_admission(const Answer& answer);
  void lie();
  void lie_about_itself(v1::HostStatus& status);
  v1::Observation observation();
  std::string some_id();
  template <class Record>
  std::string id_in(const std::map<std::string, Record>& records);
  void fill_mark(v1::ObservationMark& mark);
  void fill_problem(v1::Problem& problem);

  Scheduler& scheduler_;
  Trace& trace_;
  Rng rng_;
  const Records& records_;
  SimLink& link_;
  port::Manager* manager_ = nullptr;
  Client* client_ = nullptr;
  std::uint64_t attempt_ = 0;
  std::uint64_t secrets_ = 0;
  std::string secret_;
  std::string host_id_;
  bool admission_under_way_ = false;
};

}  // namespace gantry::sim
