#include "policy/move_forecast.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gantry::policy {
namespace {

// Whoever stands still for the last of it also waits for the state of its devices and for the other host.
constexpr Milliseconds kSwitchMs = 20;
constexpr std::uint32_t kRoundsMax = 30;
// As QEMU's auto-converge goes on: 20 per cent first, then 10 more, 99 at most.
constexpr std::uint32_t kSpeeds[] = {100, 80, 70, 60, 50, 40, 30, 20, 10, 1};

std::string per_second(std::uint64_t bytes) {
  constexpr double kMib = 1024.0 * 1024.0;
  const auto tenths = static_cast<std::uint64_t>(std::llround(static_cast<double>(bytes) / kMib * 10));
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " MiB/s";
}

Milliseconds to_ms(double seconds) {
  constexpr double kMost = 1e12;
  return static_cast<Milliseconds>(std::llround(std::min(seconds * 1000.0, kMost)));
}

MoveForecast at_speed(const MoveLoad& load, std::uint32_t speed_percent) {
  const double bandwidth = static_cast<double>(load.bytes_per_second);
  const double dirty = static_cast<double>(load.dirty_bytes_per_second) * speed_percent / 100.0;
  const double rest_max =
      bandwidth * static_cast<double>(std::max<Milliseconds>(0, load.downtime_max_ms - kSwitchMs)) / 1000.0;
  double seconds = static_cast<double>(load.disk_bytes) / bandwidth;
  double rest = static_cast<double>(load.memory_bytes);
  MoveForecast forecast;
  forecast.speed_percent = speed_percent;
  while (rest > rest_max && forecast.rounds < kRoundsMax) {
    const double round = rest / bandwidth;
    seconds += round;
    rest = std::min(static_cast<double>(load.memory_bytes), dirty * round);
    ++forecast.rounds;
  }
  forecast.converges = rest <= rest_max;
  forecast.downtime_ms = kSwitchMs + to_ms(rest / bandwidth);
  forecast.total_ms = to_ms(seconds) + forecast.downtime_ms;
  return forecast;
}

// As qemu/move_out.cc switches: when a round leaves more than half of what the one before had left. Fetching is taken
// for as fast as sending.
MoveForecast by_postcopy(const MoveLoad& load) {
  const double bandwidth = static_cast<double>(load.bytes_per_second);
  const double fits =
      bandwidth * static_cast<double>(std::max<Milliseconds>(0, load.downtime_max_ms - kSwitchMs)) / 1e3;
  double seconds = static_cast<double>(load.disk_bytes) / bandwidth;
  double rest = static_cast<double>(load.memory_bytes);
  double before = rest;
  MoveForecast forecast;
  forecast.converges = true;
  while (rest > fits && (forecast.rounds == 0 || 2 * rest <= before)) {
    const double round = rest / bandwidth;
    seconds += round;
    before = rest;
    rest = std::min(static_cast<double>(load.memory_bytes), static_cast<double>(load.dirty_bytes_per_second) * round);
    ++forecast.rounds;
  }
  forecast.fetches = rest > fits;
  forecast.downtime_ms = kSwitchMs + (forecast.fetches ? 0 : to_ms(rest / bandwidth));
  forecast.total_ms = to_ms(seconds + rest / bandwidth) + kSwitchMs;
  return forecast;
}

}  // namespace

MoveForecast forecast_move(const MoveLoad& load) {
  MoveForecast forecast;
  if (load.bytes_per_second == 0) {
    forecast.reason = "nothing is known of the way between the hosts";
    return forecast;
  }
  if (load.postcopy) {
    forecast = by_postcopy(load);
    forecast.reason = "it changes " + per_second(load.dirty_bytes_per_second) + " of its memory, and " +
                      per_second(load.bytes_per_second) + " can be sent";
    return forecast;
  }
  for (const std::uint32_t speed : kSpeeds) {
    forecast = at_speed(load, speed);
    if (forecast.converges) break;
  }
  const std::string rates = "it changes " + per_second(load.dirty_bytes_per_second) + " of its memory, and " +
                            per_second(load.bytes_per_second) + " can be sent";
  if (!forecast.converges) {
    forecast.reason = rates + ": the guest would stand still for longer than " + std::to_string(load.downtime_max_ms) +
                      " ms even if it were slowed down to 1 per cent";
  } else if (forecast.speed_percent < 100) {
    forecast.reason = rates + ": the guest has to be slowed down to " + std::to_string(forecast.speed_percent) +
                      " per cent for the last of it";
  } else {
    forecast.reason = rates;
  }
  return forecast;
}

}  // namespace gantry::policy
