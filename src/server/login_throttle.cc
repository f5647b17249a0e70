#include "server/login_throttle.h"

#include <algorithm>

namespace gantry::server {
namespace {

constexpr Milliseconds kForgetAfterMs = 15 * 60'000;
constexpr std::size_t kRecordsMax = 4096;

}  // namespace

Milliseconds LoginThrottle::wait_of(const Records& records, const std::string& key, const Limit& limit,
                                    Milliseconds now_ms) {
  const auto found = records.find(key);
  if (found == records.end() || now_ms - found->second.last_ms >= kForgetAfterMs) return 0;
  const int beyond = found->second.attempts - limit.free_attempts;
  if (beyond < 0) return 0;
  const Milliseconds wait_ms = std::min<Milliseconds>(limit.wait_max_ms, Milliseconds{1000} << std::min(beyond, 20));
  return std::max<Milliseconds>(0, found->second.last_ms + wait_ms - now_ms);
}

void LoginThrottle::count(Records& records, const std::string& key, Milliseconds now_ms) {
  if (!records.contains(key) && records.size() >= kRecordsMax) {
    records.erase(std::min_element(records.begin(), records.end(),
                                   [](const auto& a, const auto& b) { return a.second.last_ms < b.second.last_ms; }));
  }
  Record& record = records[key];
  if (now_ms - record.last_ms >= kForgetAfterMs) record.attempts = 0;
  ++record.attempts;
  record.last_ms = now_ms;
}

Milliseconds LoginThrottle::begin(const std::string& user, const std::string& address, Milliseconds now_ms) {
  const Milliseconds wait_ms =
      std::max(wait_of(users_, user, {5, 60'000}, now_ms), wait_of(addresses_, address, {20, 300'000}, now_ms));
  if (wait_ms > 0) return wait_ms;
  count(users_, user, now_ms);
  count(addresses_, address, now_ms);
  return 0;
}

void LoginThrottle::succeeded(const std::string& user, const std::string& address) {
  users_.erase(user);
  const auto found = addresses_.find(address);
  if (found != addresses_.end() && --found->second.attempts <= 0) addresses_.erase(found);
}

}  // namespace gantry::server
