// The fields of samples (api/gantry/v1/metrics.proto) as the columns of histories: a field's number, less one, is its
// column's place.
#pragma once

#include <google/protobuf/message.h>

#include <optional>
#include <string_view>
#include <vector>

namespace gantry::metrics {

// Of samples of that type; all their fields are doubles.
std::size_t columns_of(const google::protobuf::Message& type);
// NaN for what is not there.
std::vector<double> columns_in(const google::protobuf::Message& sample);
// Nothing: there is no field of that name.
std::optional<std::size_t> column_named(const google::protobuf::Message& type, std::string_view field);

}  // namespace gantry::metrics
