#include "server/login_throttle.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

namespace gantry::server {
namespace {

constexpr Milliseconds kForgetAfterMs = 15LL * 60'000;
constexpr std::size_t kRecordsMax = 4096;

}  // namespace

std::string network_of(const std::string& address) {
  // Without the zone of a link-local address.
  const std::string plain = address.substr(0, address.find('%'));
  in6_addr bytes{};
  if (::inet_pton(AF_INET6, plain.c_str(), &bytes) != 1) return address;
  if (IN6_IS_ADDR_V4MAPPED(&bytes)) return address;
  std::fill(bytes.s6_addr + 8, bytes.s6_addr + 16, std::uint8_t{0});
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET6, &bytes, text.data(), text.size());
  return std::string(text.data()) + "/64";
}

template <class Key>
Milliseconds LoginThrottle::wait_of(const Records<Key>& records, const Key& key, const Limit& limit,
                                    Milliseconds now_ms) {
  const auto found = records.find(key);
  if (found == records.end() || now_ms - found->second.last_ms >= kForgetAfterMs) return 0;
  const int beyond = found->second.attempts - limit.free_attempts;
  if (beyond < 0) return 0;
  const Milliseconds wait_ms = std::min<Milliseconds>(limit.wait_max_ms, Milliseconds{1000} << std::min(beyond, 20));
  return std::max<Milliseconds>(0, found->second.last_ms + wait_ms - now_ms);
}

template <class Key>
void LoginThrottle::count(Records<Key>& records, const Key& key, Milliseconds now_ms) {
  if (!records.contains(key) && records.size() >= kRecordsMax) {
    records.erase(std::min_element(records.begin(), records.end(),
                                   [](const auto& a, const auto& b) { return a.second.last_ms < b.second.last_ms; }));
  }
  Record& record = records[key];
  if (now_ms - record.last_ms >= kForgetAfterMs) record.attempts = 0;
  ++record.attempts;
  record.last_ms = now_ms;
}

Milliseconds LoginThrottle::begin(const std::string& user, const std::string& network, Milliseconds now_ms) {
  const UserThere there(user, network);
  const Milliseconds wait_ms =
      std::max(wait_of(users_, there, {5, 60'000}, now_ms), wait_of(networks_, network, {20, 300'000}, now_ms));
  if (wait_ms > 0) return wait_ms;
  count(users_, there, now_ms);
  count(networks_, network, now_ms);
  return 0;
}

void LoginThrottle::succeeded(const std::string& user, const std::string& network) {
  users_.erase(UserThere(user, network));
  const auto found = networks_.find(network);
  if (found != networks_.end() && --found->second.attempts <= 0) networks_.erase(found);
}

}  // namespace gantry::server
