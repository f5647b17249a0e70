// How a machine becomes a host of a cluster: pins the authority its token names, makes a key, and asks for a
// certificate.
#pragma once

#include <string>
#include <vector>

#include "gantry/v1/join.pb.h"
#include "link/grpc_host_link.h"

namespace gantry::link {

struct JoinWish {
  std::string host_name;
  // The directory of the host's first pool.
  std::string pool_path;
  // Segments this machine is in already.
  std::vector<std::string> taken_subnets;
  Milliseconds step_ms = 10'000;
};

// The authority's certificate, from the first of the token's addresses that answers, which is left in `address`.
// Changes nothing anywhere. Blocks.
Result<std::string> find_manager(const v1::JoinToken& token, Milliseconds step_ms, std::string& address);

// Uses the token up. Blocks.
Result<HostCredentials> join_cluster(const v1::JoinToken& token, const JoinWish& wish);

}  // namespace gantry::link
