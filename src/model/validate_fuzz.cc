// Any bytes as any request: validation answers or refuses, and what it lets through keeps the promises made for it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "model/names.h"
#include "model/sha256.h"
#include "model/validate.h"

namespace {

template <class Request>
bool try_one(const std::string& bytes) {
  Request request;
  if (!request.ParseFromString(bytes)) return false;
  const auto checked = gantry::model::validate(request);
  if (checked) return true;
  const gantry::Error& error = checked.error();
  if (error.summary.empty() || error.cause.empty() || error.next_step.empty()) std::abort();
  // Fields as JSON has them; the keys of maps are the client's.
  const bool names_key =
      error.summary.find("abels.") != std::string::npos || error.summary.find("recipeOptions.") != std::string::npos;
  if (!names_key && error.summary.find('_') != std::string::npos) std::abort();
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(data[i]);
  try_one<gantry::v1::CreateVmRequest>(text);
  try_one<gantry::v1::UpdateVmRequest>(text);
  try_one<gantry::v1::CreateVolumeRequest>(text);
  try_one<gantry::v1::CreateImageRequest>(text);
  try_one<gantry::v1::CreateNetworkRequest>(text);
  try_one<gantry::v1::CreateSecurityGroupRequest>(text);
  try_one<gantry::v1::UpdateSecurityGroupRequest>(text);
  try_one<gantry::v1::CreatePoolRequest>(text);
  try_one<gantry::v1::ListRequest>(text);
  try_one<gantry::v1::ListTasksRequest>(text);
  try_one<gantry::v1::ResizeVolumeRequest>(text);
  try_one<gantry::v1::StopVmRequest>(text);
  try_one<gantry::v1::MoveVmRequest>(text);
  try_one<gantry::v1::MoveVolumeRequest>(text);
  try_one<gantry::v1::UpdateHostRequest>(text);
  try_one<gantry::v1::CreateRuleRequest>(text);
  try_one<gantry::v1::UpdateRuleRequest>(text);
  if (!gantry::model::is_name(gantry::model::to_name(text))) std::abort();
  if (gantry::model::sha256_hex(text).size() != 64) std::abort();
  if (gantry::model::check_directory("path", text) && text.find("..") == 0) std::abort();
  const auto filter = gantry::model::parse_label_filter(text);
  if (filter && filter->count("") != 0) std::abort();
  return 0;
}
