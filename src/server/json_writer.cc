#include "server/json_writer.h"

#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <vector>

#include "base/hex.h"
#include "model/json_time.h"
#include "model/utf8.h"

namespace gantry::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

template <class Number>
void append_number(Number number, std::string& text) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  text.append(digits.data(), end);
}

template <class Number>
void append_quoted_number(Number number, std::string& text) {
  text += '"';
  append_number(number, text);
  text += '"';
}

void append_double(double number, std::string& text) {
  if (std::isfinite(number)) return append_number(number, text);
  text += std::isnan(number) ? "\"NaN\"" : number > 0 ? "\"Infinity\"" : "\"-Infinity\"";
}

// "<" and ">" too: a page may have the text within its own.
bool is_plain(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>'; }

void append_escaped(char c, std::string& text) {
  switch (c) {
    case '"': text += "\\\""; break;
    case '\\': text += "\\\\"; break;
    case '\n': text += "\\n"; break;
    case '\r': text += "\\r"; break;
    case '\t': text += "\\t"; break;
    default: text += "\\u00" + to_hex(reinterpret_cast<const unsigned char*>(&c), 1);
  }
}

bool append_text(std::string_view given, std::string& text) {
  text += '"';
  while (!given.empty()) {
    std::size_t plain = 0;
    while (plain < given.size() && is_plain(given[plain])) ++plain;
    text += given.substr(0, plain);
    given.remove_prefix(plain);
    if (given.empty()) break;
    const std::size_t bytes = model::first_character(given).bytes;
    if (bytes == 0) return false;
    if (bytes == 1) {
      append_escaped(given.front(), text);
    } else {
      text += given.substr(0, bytes);
    }
    given.remove_prefix(bytes);
  }
  text += '"';
  return true;
}

// RFC 3339, with as many digits of the second as are needed of 3, 6 and 9.
bool append_time(const google::protobuf::Timestamp& time, std::string& text) {
  if (!model::has_json_form(time)) return false;
  const std::chrono::sys_seconds at{std::chrono::seconds(time.seconds())};
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(at - day);
  std::array<char, 48> form{};
  int length = std::snprintf(form.data(), form.size(), "\"%04d-%02u-%02uT%02d:%02d:%02d", int{date.year()},
                             unsigned{date.month()}, unsigned{date.day()}, static_cast<int>(clock.hours().count()),
                             static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()));
  text.append(form.data(), static_cast<std::size_t>(length));
  if (time.nanos() != 0) {
    length = std::snprintf(form.data(), form.size(), ".%09d", time.nanos());
    if (time.nanos() % 1'000 == 0) length -= 3;
    if (time.nanos() % 1'000'000 == 0) length -= 3;
    text.append(form.data(), static_cast<std::size_t>(length));
  }
  text += "Z\"";
  return true;
}

bool append_enum(const FieldDescriptor& field, int number, std::string& text) {
  const auto* value = field.enum_type()->FindValueByNumber(number);
  if (value == nullptr) {
    append_number(number, text);
  } else {
    text += '"';
    text += value->name();
    text += '"';
  }
  return true;
}

// One that is not repeated.
bool append_value(const Message& message, const Reflection& reflection, const FieldDescriptor* field,
                  std::string& text) {
  std::string scratch;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: append_number(reflection.GetInt32(message, field), text); return true;
    case FieldDescriptor::CPPTYPE_UINT32: append_number(reflection.GetUInt32(message, field), text); return true;
    case FieldDescriptor::CPPTYPE_INT64: append_quoted_number(reflection.GetInt64(message, field), text); return true;
    case FieldDescriptor::CPPTYPE_UINT64: append_quoted_number(reflection.GetUInt64(message, field), text); return true;
    case FieldDescriptor::CPPTYPE_BOOL: text += reflection.GetBool(message, field) ? "true" : "false"; return true;
    case FieldDescriptor::CPPTYPE_DOUBLE: append_double(reflection.GetDouble(message, field), text); return true;
    case FieldDescriptor::CPPTYPE_ENUM: return append_enum(*field, reflection.GetEnumValue(message, field), text);
    case FieldDescriptor::CPPTYPE_MESSAGE: return append_json(reflection.GetMessage(message, field), text);
    case FieldDescriptor::CPPTYPE_STRING:
      return field->type() == FieldDescriptor::TYPE_STRING &&
             append_text(reflection.GetStringReference(message, field, &scratch), text);
    default: return false;
  }
}

bool append_element(const Message& message, const Reflection& reflection, const FieldDescriptor* field, int index,
                    std::string& text) {
  std::string scratch;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      append_number(reflection.GetRepeatedUInt32(message, field, index), text);
      return true;
    case FieldDescriptor::CPPTYPE_UINT64:
      append_quoted_number(reflection.GetRepeatedUInt64(message, field, index), text);
      return true;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      append_double(reflection.GetRepeatedDouble(message, field, index), text);
      return true;
    case FieldDescriptor::CPPTYPE_ENUM:
      return append_enum(*field, reflection.GetRepeatedEnumValue(message, field, index), text);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return append_json(reflection.GetRepeatedMessage(message, field, index), text);
    case FieldDescriptor::CPPTYPE_STRING:
      return field->type() == FieldDescriptor::TYPE_STRING &&
             append_text(reflection.GetRepeatedStringReference(message, field, index, &scratch), text);
    default: return false;
  }
}

bool append_list(const Message& message, const Reflection& reflection, const FieldDescriptor* field,
                 std::string& text) {
  text += '[';
  const int size = reflection.FieldSize(message, field);
  for (int i = 0; i < size; ++i) {
    if (i != 0) text += ',';
    if (!append_element(message, reflection, field, i, text)) return false;
  }
  text += ']';
  return true;
}

// Of texts to anything, by key, so that the same record has the same form.
bool append_map(const Message& message, const Reflection& reflection, const FieldDescriptor* field, std::string& text) {
  const auto* key = field->message_type()->map_key();
  if (key->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return false;
  std::vector<const Message*> entries;
  const int size = reflection.FieldSize(message, field);
  entries.reserve(static_cast<std::size_t>(size));
  for (int i = 0; i < size; ++i) entries.push_back(&reflection.GetRepeatedMessage(message, field, i));
  const auto key_of = [key](const Message* entry) { return entry->GetReflection()->GetString(*entry, key); };
  std::ranges::sort(entries, {}, key_of);
  text += '{';
  for (const Message* entry : entries) {
    if (text.back() != '{') text += ',';
    if (!append_text(key_of(entry), text)) return false;
    text += ':';
    if (!append_value(*entry, *entry->GetReflection(), field->message_type()->map_value(), text)) return false;
  }
  text += '}';
  return true;
}

}  // namespace

bool append_json(const Message& message, std::string& text) {
  const auto* type = message.GetDescriptor();
  if (type == google::protobuf::Timestamp::descriptor()) {
    return append_time(dynamic_cast<const google::protobuf::Timestamp&>(message), text);
  }
  if (type->file()->package() == "google.protobuf") return false;
  const Reflection& reflection = *message.GetReflection();
  text += '{';
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->has_presence() && !reflection.HasField(message, field)) continue;
    if (text.back() != '{') text += ',';
    text += '"';
    text += field->json_name();
    text += "\":";
    const bool good = field->is_map()        ? append_map(message, reflection, field, text)
                      : field->is_repeated() ? append_list(message, reflection, field, text)
                                             : append_value(message, reflection, field, text);
    if (!good) return false;
  }
  text += '}';
  return true;
}

}  // namespace gantry::server
