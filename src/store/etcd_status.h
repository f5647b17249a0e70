// What became of a request to etcd, as far as its answer tells.
#pragma once

#include <string>

namespace gantry::store {

// gRPC's codes, by their numbers on the wire; those not named here mean nothing of their own to us.
enum class EtcdCode {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  permission_denied = 7,
  resource_exhausted = 8,
  out_of_range = 11,
  unimplemented = 12,
  unavailable = 14,
  unauthenticated = 16,
};

struct EtcdStatus {
  EtcdCode code = EtcdCode::ok;
  std::string message = {};

  [[nodiscard]] bool ok() const { return code == EtcdCode::ok; }
};

enum class EtcdFate {
  done,      // answered
  refused,   // certainly not done, and another node would say the same
  not_done,  // certainly not done; another node may do it, or this one later
  in_doubt,  // done, or not, or it may yet be
};

// Of a request that was sent and ended with `status`.
EtcdFate fate_of(const EtcdStatus& status);

// That revision's history is gone.
bool is_compacted(const EtcdStatus& status);
// The space quota is used up. Carried out all the same or not: etcd says it of both.
bool is_full(const EtcdStatus& status);

// An answer and what it says.
template <class Message>
struct EtcdReply {
  EtcdStatus status;
  EtcdFate fate = EtcdFate::in_doubt;
  // An earlier try, before the one that was answered, may have been carried out too.
  bool was_in_doubt = false;
  Message message = {};

  [[nodiscard]] bool ok() const { return fate == EtcdFate::done; }
};

}  // namespace gantry::store
