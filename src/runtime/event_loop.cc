#include "runtime/event_loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <memory>
#include <utility>

#include "runtime/clock.h"
#include "runtime/report.h"

namespace gantry::runtime {

void EventLoop::post(std::function<void()> work) { boost::asio::post(context_, std::move(work)); }

void EventLoop::post_after(Milliseconds delay_ms, std::function<void()> work) {
  auto timer = std::make_shared<boost::asio::steady_timer>(context_, std::chrono::milliseconds(delay_ms));
  timer->async_wait([timer, work = std::move(work)](const boost::system::error_code& error) {
    if (!error) work();
  });
}

Now EventLoop::now() const { return real_now(); }

void EventLoop::run() {
  const auto guard = boost::asio::make_work_guard(context_);
  while (true) {
    try {
      context_.run();
      return;
    } catch (const std::exception& exception) {
      report_problem(std::string("work on the event loop failed unexpectedly: ") + exception.what());
    }
  }
}

void EventLoop::stop() { context_.stop(); }

}  // namespace gantry::runtime
