#include "runtime/boot_clock.h"

#include <fcntl.h>
#include <sys/timerfd.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "runtime/files.h"

namespace gantry::runtime {

Milliseconds boot_now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return Milliseconds{now.tv_sec} * 1'000 + now.tv_nsec / 1'000'000;
}

Result<BootTimer> BootTimer::make() {
  UniqueFd timer(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) return fail(errno_error("cannot make a timer", errno));
  return BootTimer(std::move(timer));
}

void BootTimer::arm(Milliseconds at_ms) const {
  // 0 would disarm it.
  const Milliseconds time_ms = std::max<Milliseconds>(1, at_ms);
  itimerspec spec{};
  spec.it_value.tv_sec = time_ms / 1'000;
  spec.it_value.tv_nsec = time_ms % 1'000 * 1'000'000;
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

UniqueFd BootTimer::watched() const { return UniqueFd(::fcntl(timer_.get(), F_DUPFD_CLOEXEC, 0)); }

}  // namespace gantry::runtime
