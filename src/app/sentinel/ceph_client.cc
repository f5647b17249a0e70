#include "app/sentinel/ceph_client.h"

namespace gantry::sentinel {
namespace {

// The configuration may have changed, or what the connection knows of the monitors.
constexpr int kSilencesMax = 5;

}  // namespace

void CephPool::heard(const std::optional<Error>& error) {
  const bool silent = error && error->code == ErrorCode::timed_out;
  silences_ = silent ? silences_ + 1 : 0;
  const bool shut_out = error && error->reason == kShutOutReason;
  if (shut_out || silences_ >= kSilencesMax) client_.reset();
}

}  // namespace gantry::sentinel
