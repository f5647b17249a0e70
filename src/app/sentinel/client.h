// The agent's way to the sentinel: over its socket, starting it when it is not there.
//
// Threads: as port::Sentinel; the loop and the workers outlive it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "app/sentinel/wire.h"
#include "port/sentinel.h"
#include "qemu/event_io.h"

namespace gantry::runtime {
class EventLoop;
class WorkerPool;
struct ProcessOutput;
}  // namespace gantry::runtime

namespace gantry::sentinel {

class Client final : public port::Sentinel {
 public:
  // `program`: gantry-sentinel.
  Client(runtime::EventLoop& loop, runtime::WorkerPool& workers, std::string state_directory, std::string program);
  ~Client() override;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void observe(std::function<void(const port::LeaseObservation&)> observer) override;
  void want(const port::LeaseWish& wish) override;
  void remove(const port::LeaseWish& wish, std::function<void(Result<void>)> done) override;

 private:
  struct Removal {
    port::LeaseWish wish;
    std::function<void(Result<void>)> done;
  };

  void connect();
  void start_program();
  void started(const Result<runtime::ProcessOutput>& result);
  void connect_after(Milliseconds delay_ms);
  void listen_for_silence();
  void take(std::string_view line);
  void tell_unreachable(const std::string& why);
  template <class Work>
  auto alive(Work work) {
    return [weak = std::weak_ptr(self_), work = std::move(work)](auto&&... arguments) {
      if (const auto self = weak.lock()) work(**self, std::forward<decltype(arguments)>(arguments)...);
    };
  }

  runtime::EventLoop& loop_;
  runtime::WorkerPool& workers_;
  std::string state_directory_;
  std::string program_;
  std::shared_ptr<Client*> self_;
  std::function<void(const port::LeaseObservation&)> observer_;
  std::map<std::string, port::LeaseWish> wishes_;
  std::map<std::string, Removal> removals_;
  std::shared_ptr<qemu::SocketStream> stream_;
  Lines lines_;
  Milliseconds heard_at_ms_ = 0;
  // So often in a row without a connection.
  int starts_ = 0;
  std::string why_unreachable_;
};

}  // namespace gantry::sentinel
