#include "server/json.h"

#include <google/protobuf/util/json_util.h>

#include <cstdint>
#include <exception>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "server/json_writer.h"

namespace gantry::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::size_t kDepthMax = 32;

// protobuf's own reader takes more than JSON (names without quotes, repeated names), so the text is checked first.
class StrictChecker : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return true; }
  bool binary(binary_t& /*value*/) override { return false; }
  bool string(string_t& value) override { return check_text(value); }
  bool start_object(std::size_t /*elements*/) override { return enter(); }
  bool start_array(std::size_t /*elements*/) override { return enter(); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool key(string_t& name) override {
    if (!check_text(name)) return false;
    if (names_.back().insert(name).second) return true;
    problem = "the name \"" + name + "\" is given twice";
    return false;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    problem = "it is not JSON at byte " + std::to_string(position);
    return false;
  }

  std::string problem;

 private:
  bool enter() {
    names_.emplace_back();
    if (names_.size() <= kDepthMax) return true;
    problem = "it is nested too deeply";
    return false;
  }
  bool leave() {
    names_.pop_back();
    return true;
  }
  bool check_text(const std::string& text) {
    if (text.find('\0') == std::string::npos) return true;
    problem = "a text has a NUL character";
    return false;
  }

  std::vector<std::set<std::string>> names_;
};

tl::unexpected<Error> bad_body(std::string cause) {
  return fail(ErrorCode::invalid_argument, "the body of the request cannot be used", std::move(cause),
              "see /api/v1/openapi.json for what this route takes");
}

bool known_enum(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  const auto known = [&](int number) { return field.enum_type()->FindValueByNumber(number) != nullptr; };
  if (!field.is_repeated()) return known(reflection.GetEnumValue(message, &field));
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    if (!known(reflection.GetRepeatedEnumValue(message, &field, i))) return false;
  }
  return true;
}

// proto3 takes any number for an enum; the first field with one that has no name, or null.
const FieldDescriptor* unknown_enum(const Message& message) {
  const auto& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM && !known_enum(message, *field)) return field;
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const Message& inner = field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                                  : reflection.GetMessage(message, field);
      if (const FieldDescriptor* found = unknown_enum(inner)) return found;
    }
  }
  return nullptr;
}

Result<void> read_checked(std::string_view text, Message& message) {
  StrictChecker checker;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &checker)) return bad_body(checker.problem);
  if (text[text.find_first_not_of(" \t\r\n")] != '{') return bad_body("it is not a JSON object");
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  const auto status = google::protobuf::util::JsonStringToMessage({text.data(), text.size()}, &message, options);
  if (!status.ok()) return bad_body(std::string(status.message()));
  if (const FieldDescriptor* field = unknown_enum(message)) {
    return bad_body("the field \"" + field->json_name() + "\" has no such value");
  }
  return {};
}

}  // namespace

std::string write_json(const Message& message) {
  std::string text;
  if (append_json(message, text)) {
    text += '\n';
    return text;
  }
  text.clear();
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) {
    // Only a record with a text that is no UTF-8 or a time out of range comes here.
    text = R"({"status":500,"code":"internal","summary":"a record cannot be shown as JSON","cause":"","nextStep":""})";
  }
  text += '\n';
  return text;
}

Result<void> read_json(std::string_view text, Message& message) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return {};
  try {
    return read_checked(text, message);
  } catch (const std::exception& error) {
    return bad_body(error.what());
  }
}

}  // namespace gantry::server
