#include "store/etcd_status.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace gantry::store {
namespace {

// What etcd says before it proposes anything to the other nodes. All else under the same codes may come afterwards.
constexpr std::array<std::string_view, 5> kBeforeProposing{"etcdserver: no leader", "etcdserver: not capable",
                                                           "etcdserver: rpc not supported for learner",
                                                           "etcdserver: too many requests", "raft proposal dropped"};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

EtcdFate fate_of(const EtcdStatus& status) {
  switch (status.code) {
    case EtcdCode::ok: return EtcdFate::done;
    case EtcdCode::invalid_argument:
    case EtcdCode::not_found:
    case EtcdCode::permission_denied:
    case EtcdCode::out_of_range:
    case EtcdCode::unimplemented:
    case EtcdCode::unauthenticated: return EtcdFate::refused;
    case EtcdCode::resource_exhausted:
      // gRPC's own limit on a message, found by the receiving end before etcd sees it.
      if (contains(status.message, "received message larger than max")) return EtcdFate::refused;
      [[fallthrough]];
    default: break;
  }
  const bool early = std::any_of(kBeforeProposing.begin(), kBeforeProposing.end(),
                                 [&](std::string_view text) { return status.message == text; });
  return early ? EtcdFate::not_done : EtcdFate::in_doubt;
}

bool is_compacted(const EtcdStatus& status) {
  return status.code == EtcdCode::out_of_range && contains(status.message, "compacted");
}

bool is_full(const EtcdStatus& status) {
  return status.code == EtcdCode::resource_exhausted && contains(status.message, "database space exceeded");
}

}  // namespace gantry::store
