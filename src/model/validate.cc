#include "model/validate.h"

#include <google/protobuf/field_mask.pb.h>

#include <algorithm>
#include <vector>

namespace gantry::model {
namespace {

constexpr std::size_t kLabelsMax = 64;

bool is_changeable(const google::protobuf::FieldDescriptor& field) {
  return field.name() != "id" && field.name() != "update_mask";
}

// Without ",", "=" and control characters, so that a label filter can always be written.
Checked check_label(const std::string& field, const std::string& key, const std::string& value) {
  GANTRY_CHECK(check_line(field, key, 63));
  GANTRY_CHECK(check_line(field + "." + key, value, 255));
  if (key.empty()) return bad_field(field, "a label without a key is in it", "leave it out");
  if (key.find_first_of(",= ") != std::string::npos || value.find_first_of(",=") != std::string::npos) {
    return bad_field(field + "." + key, "\",\", \"=\" and spaces in keys are not allowed in labels",
                     "use other characters");
  }
  return {};
}

// What may be changed, as JSON has it; but for the id, all.
std::string changeable_fields(const google::protobuf::Descriptor& type) {
  std::string names;
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    if (is_changeable(field)) names += (names.empty() ? "" : ", ") + field.json_name();
  }
  return names;
}

Checked check_page(std::uint32_t page_size, const std::string& page_token) {
  GANTRY_CHECK(check_range("pageSize", page_size, 0, 10'000));
  return check_line("pageToken", page_token, 128);
}

}  // namespace

Checked check_fields_to_change(const google::protobuf::Message& request) {
  const auto& type = *request.GetDescriptor();
  const auto fields = fields_to_change(request);
  for (const std::string& path : fields) {
    const auto* field = type.FindFieldByName(path);
    if (field != nullptr && is_changeable(*field)) continue;
    return bad_field("updateMask", "\"" + path + "\" is nothing that can be changed",
                     "name some of " + changeable_fields(type));
  }
  if (!fields.empty()) return {};
  return bad_field("updateMask", "the request names nothing to change", "give some of " + changeable_fields(type));
}

Checked check_labels(const google::protobuf::Map<std::string, std::string>& labels, const std::string& field) {
  if (labels.size() > kLabelsMax) return bad_field(field, "there are more than 64", "leave some out");
  const std::map<std::string, std::string> ordered(labels.begin(), labels.end());
  for (const auto& [key, value] : ordered) GANTRY_CHECK(check_label(field, key, value));
  return {};
}

Checked validate(const v1::DeleteHostRequest& request) { return check_reference("id", request.id(), true); }

Checked validate(const v1::ById& request) { return check_reference("id", request.id(), true); }

Checked validate(const v1::UpdateHostRequest& request) {
  GANTRY_CHECK(check_reference("id", request.id(), true));
  GANTRY_CHECK(check_fields_to_change(request));
  return check_labels(request.labels());
}

Checked validate(const v1::UpdateVmRequest& request) {
  GANTRY_CHECK(check_reference("id", request.id(), true));
  GANTRY_CHECK(check_fields_to_change(request));
  const auto fields = fields_to_change(request);
  if (fields.count("cpus") != 0) GANTRY_CHECK(check_range("cpus", request.cpus(), 1, kCpusMax));
  if (fields.count("memory_mib") != 0) {
    GANTRY_CHECK(check_range("memoryMib", request.memory_mib(), kMemoryMibMin, kMemoryMibMax));
  }
  GANTRY_CHECK(check_range("stopTimeoutSeconds", request.stop_timeout_seconds(), 0, kStopTimeoutSecondsMax));
  GANTRY_CHECK(check_nic_groups(request));
  GANTRY_CHECK(check_cpu_model("cpuModel", request.cpu_model()));
  GANTRY_CHECK(check_labels(request.host_labels(), "hostLabels"));
  return check_labels(request.labels());
}

Checked validate(const v1::ListRequest& request) {
  GANTRY_CHECK(check_page(request.page_size(), request.page_token()));
  if (auto filter = parse_label_filter(request.labels()); !filter) return fail(std::move(filter.error()));
  return {};
}

Checked validate(const v1::ListTasksRequest& request) {
  GANTRY_CHECK(check_page(request.page_size(), request.page_token()));
  return check_reference("targetId", request.target_id());
}

std::set<std::string> fields_to_change(const google::protobuf::Message& request) {
  std::set<std::string> names;
  const auto& reflection = *request.GetReflection();
  const auto* mask = request.GetDescriptor()->FindFieldByName("update_mask");
  if (reflection.HasField(request, mask)) {
    const auto& paths = dynamic_cast<const google::protobuf::FieldMask&>(reflection.GetMessage(request, mask)).paths();
    names.insert(paths.begin(), paths.end());
  }
  if (!names.empty()) return names;
  std::vector<const google::protobuf::FieldDescriptor*> given;
  reflection.ListFields(request, &given);
  for (const auto* field : given) {
    if (is_changeable(*field)) names.insert(field->name());
  }
  return names;
}

Result<std::map<std::string, std::string>> parse_label_filter(std::string_view text) {
  std::map<std::string, std::string> filter;
  GANTRY_CHECK(check_line("labels", text, 4096));
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view pair = text.substr(0, comma);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return bad_field("labels", "\"" + std::string(pair) + "\" is not of the form key=value",
                       "write \"tier=web,site=a\"");
    }
    filter.emplace(pair.substr(0, equals), pair.substr(equals + 1));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return filter;
}

}  // namespace gantry::model
