#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "server/json.h"
#include "server/routes.h"

namespace gantry::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Timestamp;

tl::unexpected<Error> bad_parameter(const std::string& name, std::string cause) {
  return fail(ErrorCode::invalid_argument, "the parameter \"" + name + "\" cannot be used", std::move(cause),
              "see /api/v1/openapi.json for what this route takes");
}

template <class Number>
bool parse_number(const std::string& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

bool parse_bool(const std::string& text, bool& value) {
  // "?force" alone means yes.
  value = text == "true" || text == "1" || text.empty();
  return value || text == "false" || text == "0";
}

Result<void> set_field(Message& message, const FieldDescriptor& field, const std::string& text) {
  const auto& reflection = *message.GetReflection();
  if (!field.is_repeated() && field.message_type() == Timestamp::descriptor()) {
    auto& time = dynamic_cast<Timestamp&>(*reflection.MutableMessage(&message, &field));
    const bool is_time = google::protobuf::util::TimeUtil::FromString(text, &time);
    if (!is_time) return bad_parameter(field.json_name(), "it is no time as 2027-01-31T14:00:00Z is one");
    return {};
  }
  switch (field.is_repeated() ? FieldDescriptor::CPPTYPE_MESSAGE : field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: reflection.SetString(&message, &field, text); return {};
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool value = false;
      if (!parse_bool(text, value)) return bad_parameter(field.json_name(), "it is neither true nor false");
      reflection.SetBool(&message, &field, value);
      return {};
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      std::uint32_t value = 0;
      if (!parse_number(text, value))
        return bad_parameter(field.json_name(), "it is not a number from 0 to 4294967295");
      reflection.SetUInt32(&message, &field, value);
      return {};
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      std::uint64_t value = 0;
      if (!parse_number(text, value)) return bad_parameter(field.json_name(), "it is not a whole number from 0 up");
      reflection.SetUInt64(&message, &field, value);
      return {};
    }
    default: return bad_parameter(field.json_name(), "this field cannot be given in the address");
  }
}

const FieldDescriptor* find_field(const Descriptor& type, const std::string& name) {
  if (const auto* field = type.FindFieldByName(name)) return field;
  return type.FindFieldByCamelcaseName(name);
}

// What an update is to change: so that a field the body names is changed though it is at its default ({"labels":{}}).
void name_given_fields(std::string_view body, Message& message) {
  const FieldDescriptor* mask = message.GetDescriptor()->FindFieldByName("update_mask");
  if (mask == nullptr || message.GetReflection()->HasField(message, mask)) return;
  auto& paths = dynamic_cast<google::protobuf::FieldMask&>(*message.GetReflection()->MutableMessage(&message, mask));
  const auto given = nlohmann::json::parse(body, nullptr, false);
  if (!given.is_object()) return;
  for (const auto& [name, value] : given.items()) {
    const FieldDescriptor* field = find_field(*message.GetDescriptor(), name);
    // Null is as good as not given in protobuf's JSON; the id stands in the path.
    if (field != nullptr && field->name() != "id" && !value.is_null()) paths.add_paths(field->name());
  }
}

// A request's fields from its query, dry_run apart.
Result<void> apply_query(const RouteMatch& match, const std::vector<QueryParameter>& query, DecodedRequest& decoded) {
  const v1::Route& route = match.entry->route;
  const bool fields_in_query = route.method() == "GET" || route.method() == "DELETE";
  std::set<std::string> seen;
  for (const auto& [name, value] : query) {
    const bool is_dry_run = takes_dry_run(route) && (name == "dry_run" || name == "dryRun");
    const FieldDescriptor* field = fields_in_query ? find_field(*decoded.message->GetDescriptor(), name) : nullptr;
    if (field == nullptr && !is_dry_run) return bad_parameter(name, "this route has no such parameter");
    const std::string unique = is_dry_run ? "dry_run" : field->name();
    if (!seen.insert(unique).second) return bad_parameter(name, "it is given twice");
    if (is_dry_run) {
      if (!parse_bool(value, decoded.dry_run)) return bad_parameter(name, "it is neither true nor false");
      continue;
    }
    for (const auto& [parameter, text] : match.parameters) {
      if (parameter == field->name() && text != value) return bad_parameter(name, "the path says \"" + text + "\"");
    }
    if (auto set = set_field(*decoded.message, *field, value); !set) return set;
  }
  return {};
}

Result<void> apply_path(const RouteMatch& match, Message& message) {
  for (const auto& [name, text] : match.parameters) {
    if (text.find('/') != std::string::npos || text.size() > 255) {
      return bad_parameter(name, "this is neither an id nor a name");
    }
    const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
    const std::string given = message.GetReflection()->GetString(message, field);
    if (!given.empty() && given != text) {
      return bad_parameter(name, "the path says \"" + text + "\", the request \"" + given + "\"");
    }
    message.GetReflection()->SetString(&message, field, text);
  }
  return {};
}

}  // namespace

Result<DecodedRequest> decode_request(const RouteMatch& match, const std::vector<QueryParameter>& query,
                                      std::string_view body) {
  const auto* type = match.entry->method->input_type();
  DecodedRequest decoded;
  decoded.message.reset(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  const std::string& method = match.entry->route.method();
  if ((method == "GET" || method == "DELETE") && !body.empty()) {
    return fail(ErrorCode::invalid_argument, method + " takes no body here",
                "the fields of this request are in its address", "give them as ?name=value");
  }
  if (auto read = read_json(body, *decoded.message); !read) return fail(read.error());
  name_given_fields(body, *decoded.message);
  if (auto applied = apply_query(match, query, decoded); !applied) return fail(applied.error());
  if (auto applied = apply_path(match, *decoded.message); !applied) return fail(applied.error());
  return decoded;
}

}  // namespace gantry::server
