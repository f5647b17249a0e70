#include "model/validate.h"

#include <algorithm>

namespace gantry::model {
namespace {

constexpr std::size_t kLabelsMax = 64;

// Without ",", "=" and control characters, so that a label filter can always be written.
Checked check_label(const std::string& key, const std::string& value) {
  GANTRY_CHECK(check_line("labels", key, 63));
  GANTRY_CHECK(check_line("labels." + key, value, 255));
  if (key.empty()) return bad_field("labels", "a label without a key is in it");
  if (key.find_first_of(",= ") != std::string::npos || value.find_first_of(",=") != std::string::npos) {
    return bad_field("labels." + key, "\",\", \"=\" and spaces in keys are not allowed in labels");
  }
  return {};
}

Checked check_page(std::uint32_t page_size, const std::string& page_token) {
  GANTRY_CHECK(check_range("page_size", page_size, 0, 10'000));
  return check_line("page_token", page_token, 128);
}

}  // namespace

Checked check_labels(const google::protobuf::Map<std::string, std::string>& labels) {
  if (labels.size() > kLabelsMax) return bad_field("labels", "there are more than 64");
  const std::map<std::string, std::string> ordered(labels.begin(), labels.end());
  for (const auto& [key, value] : ordered) GANTRY_CHECK(check_label(key, value));
  return {};
}

Checked validate(const v1::ById& request) { return check_reference("id", request.id(), true); }

Checked validate(const v1::UpdateHostRequest& request) { return check_reference("id", request.id(), true); }

Checked validate(const v1::ListRequest& request) {
  GANTRY_CHECK(check_page(request.page_size(), request.page_token()));
  if (auto filter = parse_label_filter(request.labels()); !filter) return fail(std::move(filter.error()));
  return {};
}

Checked validate(const v1::ListTasksRequest& request) {
  GANTRY_CHECK(check_page(request.page_size(), request.page_token()));
  return check_reference("target_id", request.target_id());
}

Result<std::map<std::string, std::string>> parse_label_filter(std::string_view text) {
  std::map<std::string, std::string> filter;
  GANTRY_CHECK(check_line("labels", text, 4096));
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view pair = text.substr(0, comma);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return bad_field("labels", "\"" + std::string(pair) + "\" is not of the form key=value");
    }
    filter.emplace(pair.substr(0, equals), pair.substr(equals + 1));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return filter;
}

}  // namespace gantry::model
