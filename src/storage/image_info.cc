#include "storage/image_info.h"

#include <nlohmann/json.hpp>

namespace gantry::storage {
namespace {

using Json = nlohmann::json;

Error not_understood() {
  return Error{ErrorCode::corrupt, "cannot read the image", "qemu-img gave no answer that can be understood",
               "check the file with qemu-img info", "image_corrupt"};
}

Result<Json> parse_object(std::string_view json) {
  if (json.size() > kImageInfoBytesMax) return fail(not_understood());
  Json parsed = Json::parse(json, nullptr, false);
  if (!parsed.is_object()) return fail(not_understood());
  return parsed;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool flag_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

Result<std::uint64_t> number_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return fail(not_understood());
  return found->get<std::uint64_t>();
}

// Of `object`'s member `key` when that is an object.
const Json* member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? &*found : nullptr;
}

void read_specific(const Json& data, ImageInfo& info) {
  info.data_file = text_of(data, "data-file");
  info.corrupt = flag_of(data, "corrupt");
  if (data.contains("encrypt")) info.encrypted = true;
  const auto extents = data.find("extents");
  if (extents == data.end() || !extents->is_array()) return;
  for (const Json& extent : *extents) {
    info.extents.push_back(extent.is_object() ? text_of(extent, "filename") : std::string());
  }
}

}  // namespace

Result<ImageInfo> parse_image_info(std::string_view json) {
  const auto parsed = parse_object(json);
  if (!parsed) return fail(parsed.error());
  const auto size = number_of(*parsed, "virtual-size");
  if (!size) return fail(size.error());
  ImageInfo info;
  info.virtual_size_bytes = *size;
  info.format = text_of(*parsed, "format");
  info.allocation_bytes = number_of(*parsed, "actual-size").value_or(0);
  info.encrypted = flag_of(*parsed, "encrypted");
  info.backing_file = text_of(*parsed, "backing-filename");
  if (info.backing_file.empty()) info.backing_file = text_of(*parsed, "full-backing-filename");
  if (const Json* specific = member(*parsed, "format-specific")) {
    if (const Json* data = member(*specific, "data")) read_specific(*data, info);
  }
  if (info.format.empty()) return fail(not_understood());
  return info;
}

Result<std::uint64_t> parse_measured_bytes(std::string_view json) {
  const auto parsed = parse_object(json);
  if (!parsed) return fail(parsed.error());
  return number_of(*parsed, "required");
}

}  // namespace gantry::storage
