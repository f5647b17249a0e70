// Channels of hosts to their managers. Internal to src/link.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "base/time.h"
#include "link/authority.h"

namespace gantry::link {

struct ChannelOptions {
  // "HOST:PORT"
  std::string address;
  // The only one that is trusted.
  std::string authority_pem;
  // What the host shows; empty when it has none yet.
  Credentials own;
  Milliseconds ping_ms = 5'000;
};

// With a connection of its own, made when first used.
std::shared_ptr<grpc::Channel> make_channel(const ChannelOptions& options);

}  // namespace gantry::link
