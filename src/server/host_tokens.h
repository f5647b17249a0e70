// Tokens that machines become hosts with. The secret is made here, of the system's random bytes, and shown once; the
// manager keeps its hash.
//
// Threads: the server's loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "port/manager.h"
#include "server/api_server.h"

namespace gantry::server {

class ApiHandler;

using MessageDone = std::function<void(Result<std::shared_ptr<const google::protobuf::Message>>)>;

// Answers v1::CreateHostTokenAnswer, or for a dry run v1::Accepted.
void create_host_token(ApiHandler& api, const std::optional<JoinPoint>& point, const port::CallOptions& options,
                       MessageDone done);

}  // namespace gantry::server
