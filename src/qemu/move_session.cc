#include "qemu/move_session.h"

#include "model/printable_text.h"

namespace gantry::qemu {
namespace {

constexpr std::size_t kTextBytesMax = 300;
constexpr std::string_view kJob = "move-disk";

}  // namespace

nlohmann::ordered_json parse_answer(const std::string& text) {
  auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  return json.is_discarded() ? nlohmann::ordered_json() : json;
}

std::uint64_t number_in(const nlohmann::ordered_json& json, const char* key) {
  const auto& value = member_of(json, key);
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

std::string text_in(const nlohmann::ordered_json& json, const char* key) {
  const auto& value = member_of(json, key);
  return value.is_string() ? model::printable_text(value.get<std::string>(), kTextBytesMax) : std::string();
}

const nlohmann::ordered_json& member_of(const nlohmann::ordered_json& json, const char* key) {
  static const nlohmann::ordered_json kNone;
  if (!json.is_object()) return kNone;
  const auto found = json.find(key);
  return found == json.end() ? kNone : *found;
}

std::string move_job(std::size_t index) { return std::string(kJob) + std::to_string(index); }

bool is_move_job(const std::string& id) { return id.rfind(kJob, 0) == 0; }

bool is_migrating(const std::string& status) {
  return status == "setup" || status == "active" || status == "pre-switchover" || status == "device" ||
         status == "wait-unplug" || status == "cancelling" || status == "postcopy-active";
}

bool is_postcopy_broken(const std::string& status) {
  return status == "postcopy-paused" || status == "postcopy-recover";
}

}  // namespace gantry::qemu
