#include "control/printable.h"

#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <vector>

#include "model/json_time.h"

namespace gantry::control {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string printable(const std::string& text, const TextLimits& limits) {
  return model::printable_text(text, limits.bytes_max, limits.lines);
}

void clean_repeated(Message& message, const Reflection& reflection, const FieldDescriptor& field,
                    const TextLimits& limits) {
  const int size = reflection.FieldSize(message, &field);
  for (int i = 0; i < size; ++i) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      make_printable(*reflection.MutableRepeatedMessage(&message, &field, i), limits);
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      reflection.SetRepeatedString(&message, &field, i,
                                   printable(reflection.GetRepeatedString(message, &field, i), limits));
    }
  }
}

}  // namespace

void make_printable(Message& message, const TextLimits& limits) {
  if (auto* time = dynamic_cast<google::protobuf::Timestamp*>(&message)) {
    if (!model::has_json_form(*time)) time->Clear();
    return;
  }
  const Reflection& reflection = *message.GetReflection();
  // Fields this version does not know are nobody's to keep.
  reflection.MutableUnknownFields(&message)->Clear();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_repeated()) {
      clean_repeated(message, reflection, *field, limits);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      make_printable(*reflection.MutableMessage(&message, field), limits);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      reflection.SetString(&message, field, printable(reflection.GetString(message, field), limits));
    }
  }
}

}  // namespace gantry::control
