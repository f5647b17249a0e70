#include "storage/rbd_answers.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace gantry::storage::rbd {
namespace {

using Json = nlohmann::json;

Error not_understood() {
  return {ErrorCode::corrupt, "cannot read what Ceph's programs say", "it is not as the versions that are known say it",
          "compare the version of ceph-common with what docs/how-to/ceph.md names"};
}

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

Result<std::uint64_t> number_of(const Json& object, const char* key) {
  const Json* found = member(object, key);
  if (found == nullptr || !found->is_number_unsigned()) return fail(not_understood());
  return found->get<std::uint64_t>();
}

std::string text_of(const Json& object, const char* key) {
  const Json* found = member(object, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

// The array that `key` of the answer is.
Result<Json> array_in(std::string_view json, const char* key) {
  const Json answer = Json::parse(json, nullptr, false);
  const Json* array = member(answer, key);
  if (array == nullptr || !array->is_array()) return fail(not_understood());
  return *array;
}

}  // namespace

Result<ImageAnswer> parse_image(std::string_view json) {
  const Json answer = Json::parse(json, nullptr, false);
  const auto size = number_of(answer, "size");
  if (!size) return fail(size.error());
  ImageAnswer image{.id = text_of(answer, "id"), .size_bytes = *size};
  if (image.id.empty()) return fail(not_understood());
  return image;
}

Result<std::uint64_t> parse_used_bytes(std::string_view json) {
  const auto images = array_in(json, "images");
  if (!images) return fail(images.error());
  std::uint64_t all = 0;
  for (const Json& image : *images) {
    const auto used = number_of(image, "used_size");
    if (!used) return fail(used.error());
    all += *used;
  }
  return all;
}

Result<std::vector<std::string>> parse_names(std::string_view json) {
  const Json answer = Json::parse(json, nullptr, false);
  if (!answer.is_array()) return fail(not_understood());
  std::vector<std::string> names;
  for (const Json& name : answer) {
    if (!name.is_string()) return fail(not_understood());
    names.push_back(name.get<std::string>());
  }
  return names;
}

// It says "true" and "false" as text.
Result<std::vector<SnapshotAnswer>> parse_snapshots(std::string_view json) {
  const Json answer = Json::parse(json, nullptr, false);
  if (!answer.is_array()) return fail(not_understood());
  std::vector<SnapshotAnswer> snapshots;
  for (const Json& one : answer) {
    SnapshotAnswer snapshot{.name = text_of(one, "name"), .is_protected = text_of(one, "protected") == "true"};
    if (snapshot.name.empty()) return fail(not_understood());
    snapshots.push_back(std::move(snapshot));
  }
  return snapshots;
}

Result<PoolAnswer> parse_pool(std::string_view json, const std::string& pool) {
  const auto pools = array_in(json, "pools");
  if (!pools) return fail(pools.error());
  for (const Json& one : *pools) {
    if (text_of(one, "name") != pool) continue;
    const Json* stats = member(one, "stats");
    if (stats == nullptr) return fail(not_understood());
    const auto stored = number_of(*stats, "stored");
    const auto available = number_of(*stats, "max_avail");
    if (!stored || !available) return fail(not_understood());
    return PoolAnswer{.stored_bytes = *stored, .available_bytes = *available};
  }
  return fail(ErrorCode::not_found, "Ceph does not tell of a pool " + pool);
}

}  // namespace gantry::storage::rbd
