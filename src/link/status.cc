#include "link/status.h"

#include <grpc/support/log.h>

#include <array>
#include <mutex>
#include <utility>

#include "gantry/v1/routes.pb.h"

namespace gantry::link {
namespace {

constexpr std::array<std::pair<ErrorCode, grpc::StatusCode>, 13> kCodes = {{
    {ErrorCode::invalid_argument, grpc::StatusCode::INVALID_ARGUMENT},
    {ErrorCode::not_found, grpc::StatusCode::NOT_FOUND},
    {ErrorCode::already_exists, grpc::StatusCode::ALREADY_EXISTS},
    {ErrorCode::conflict, grpc::StatusCode::FAILED_PRECONDITION},
    {ErrorCode::permission_denied, grpc::StatusCode::PERMISSION_DENIED},
    {ErrorCode::unauthenticated, grpc::StatusCode::UNAUTHENTICATED},
    {ErrorCode::out_of_space, grpc::StatusCode::RESOURCE_EXHAUSTED},
    {ErrorCode::corrupt, grpc::StatusCode::DATA_LOSS},
    {ErrorCode::cancelled, grpc::StatusCode::CANCELLED},
    {ErrorCode::timed_out, grpc::StatusCode::DEADLINE_EXCEEDED},
    {ErrorCode::unavailable, grpc::StatusCode::UNAVAILABLE},
    {ErrorCode::unsupported, grpc::StatusCode::UNIMPLEMENTED},
    {ErrorCode::internal, grpc::StatusCode::INTERNAL},
}};

}  // namespace

grpc::Status to_status(const Error& error) {
  v1::ErrorAnswer answer;
  answer.set_code(error.word());
  answer.set_summary(error.summary);
  answer.set_cause(error.cause);
  answer.set_next_step(error.next_step);
  for (const auto& [code, status] : kCodes) {
    if (code == error.code) return {status, error.summary, answer.SerializeAsString()};
  }
  return {grpc::StatusCode::INTERNAL, error.summary, answer.SerializeAsString()};
}

Error to_error(const grpc::Status& status) {
  Error error{ErrorCode::unavailable, "the manager does not answer", status.error_message(),
              "see that gantryd runs there and that its link's port can be reached"};
  for (const auto& [code, other] : kCodes) {
    if (other == status.error_code()) error.code = code;
  }
  v1::ErrorAnswer answer;
  if (!status.error_details().empty() && answer.ParseFromString(status.error_details())) {
    error.summary = answer.summary();
    error.cause = answer.cause();
    error.next_step = answer.next_step();
    error.reason = answer.code();
  }
  return error;
}

void silence_grpc() {
  static std::once_flag once;
  std::call_once(once, [] { gpr_set_log_function([](gpr_log_func_args*) {}); });
}

}  // namespace gantry::link
