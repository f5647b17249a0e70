// The loop decisions are made on: one thread, one Asio context. Adapters that speak over sockets share its context.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>

#include "port/executor.h"

namespace gantry::runtime {

class EventLoop final : public port::Executor {
 public:
  void post(std::function<void()> work) override;
  void post_after(Milliseconds delay_ms, std::function<void()> work) override;
  [[nodiscard]] Now now() const override;

  // Runs until stop(); to be called from one thread. An exception that leaves a piece of work ends that piece alone,
  // and is reported on the error output.
  void run();
  // From any thread. Work not begun is dropped.
  void stop();
  boost::asio::io_context& context() { return context_; }

 private:
  boost::asio::io_context context_{1};
};

}  // namespace gantry::runtime
