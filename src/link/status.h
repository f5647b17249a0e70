// Errors as gRPC carries them. Internal to src/link, but for silence_grpc().
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "base/result.h"

namespace gantry::link {

grpc::Status to_status(const Error& error);
// What another Gantry said in full; else what gRPC says of a call that did not come through.
Error to_error(const grpc::Status& status);

// gRPC's own log is about connections of strangers and writes to the error output: what matters is in the statuses.
void silence_grpc();

}  // namespace gantry::link
