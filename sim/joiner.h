// A machine on its way into the cluster: a user makes a token for it, and with that it asks to become a host, as
// "gantryd join" does. A token whose use was not answered may be used up; then there is another, and the record that
// the first one made stands for no machine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "port/manager.h"
#include "sim/stage.h"

namespace gantry::sim {

class Joiner {
 public:
  struct Asked {
    std::string name;
    std::string pool_path;
    std::string taken_subnet = {};
  };
  using Joined = std::function<void(const std::string& host_id)>;

  Joiner(Stage& stage, Asked asked, Joined joined)
      : stage_(stage), asked_(std::move(asked)), joined_(std::move(joined)) {}

  // Null while it is down.
  void set_manager(port::Manager* manager) { manager_ = manager; }
  void start();
  // On its way.
  [[nodiscard]] bool is_busy() const { return busy_; }

 private:
  using Answer = Result<std::unique_ptr<google::protobuf::Message>>;

  void ask_for_token();
  void ask_for_admission();
  // Calls the manager; `next` in a while unless there is an answer that `take` takes.
  void ask(const std::string& rpc, const google::protobuf::Message& request, const std::string& key,
           bool (Joiner::*take)(const Answer&), void (Joiner::*next)());
  bool take_token(const Answer& answer);
  bool take_admission(const Answer& answer);

  Stage& stage_;
  Asked asked_;
  Joined joined_;
  port::Manager* manager_ = nullptr;
  bool busy_ = false;
  std::uint64_t attempt_ = 0;
  std::uint64_t secrets_ = 0;
  std::string secret_;
  // So often the token was shown to a manager.
  int shown_ = 0;
};

}  // namespace gantry::sim
