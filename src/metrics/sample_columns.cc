#include "metrics/sample_columns.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <string>

#include "metrics/compact_value.h"

namespace gantry::metrics {
namespace {

std::size_t column_of(const google::protobuf::FieldDescriptor& field) {
  return static_cast<std::size_t>(field.number() - 1);
}

}  // namespace

std::size_t columns_of(const google::protobuf::Message& type) {
  const auto& fields = *type.GetDescriptor();
  std::size_t columns = 0;
  for (int i = 0; i < fields.field_count(); ++i) columns = std::max(columns, column_of(*fields.field(i)) + 1);
  return columns;
}

std::vector<double> columns_in(const google::protobuf::Message& sample) {
  const auto& fields = *sample.GetDescriptor();
  std::vector<double> values(columns_of(sample), kNoValue);
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto& field = *fields.field(i);
    if (sample.GetReflection()->HasField(sample, &field)) {
      values[column_of(field)] = sample.GetReflection()->GetDouble(sample, &field);
    }
  }
  return values;
}

std::optional<std::size_t> column_named(const google::protobuf::Message& type, std::string_view field) {
  const auto* found = type.GetDescriptor()->FindFieldByName(std::string(field));
  if (found == nullptr) return std::nullopt;
  return column_of(*found);
}

}  // namespace gantry::metrics
