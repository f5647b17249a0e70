// A machine that joins the cluster and then lies: it speaks of what is others', of what is nobody's, of itself, and of
// times and numbers that make no sense. None of it may make a difference, and in the end it leaves.
#pragma once

#include <cstdint>
#include <string>

#include "base/rng.h"
#include "gantry/v1/link.pb.h"
#include "sim/client.h"
#include "sim/joiner.h"
#include "sim/stage.h"
#include "sim/switchboard.h"

namespace gantry::sim {

class HostileHost {
 public:
  static constexpr const char* kName = "beta";

  HostileHost(Stage& stage, std::uint64_t seed, Switchboard& board);

  // Null while it is down.
  void set_manager(port::Manager* manager) { joiner_.set_manager(manager); }
  void join() { joiner_.start(); }
  // Once it has joined, `client` takes leave of it. It goes on talking.
  void leave(Client& client);
  [[nodiscard]] bool is_busy() const { return joiner_.is_busy(); }

 private:
  void joined(const std::string& host_id);
  void lie();
  void lie_about_itself(v1::HostStatus& status);
  v1::Observation observation();
  v1::Sample sample();
  std::string some_id();
  template <class Record>
  std::string id_in(const std::map<std::string, Record>& records);
  void fill_mark(v1::ObservationMark& mark);
  void fill_problem(v1::Problem& problem);

  Stage& stage_;
  Rng rng_;
  Switchboard& board_;
  Joiner joiner_;
  Client* client_ = nullptr;
  std::string host_id_;
};

}  // namespace gantry::sim
