// Which times can be shown as JSON.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>

namespace gantry::model {

// JSON has one for the years 1 to 9999 alone (google/protobuf/timestamp.proto).
inline bool has_json_form(const google::protobuf::Timestamp& time) {
  constexpr std::int64_t kFirstSecond = -62'135'596'800;
  constexpr std::int64_t kLastSecond = 253'402'300'799;
  constexpr std::int32_t kNanosMax = 999'999'999;
  return time.seconds() >= kFirstSecond && time.seconds() <= kLastSecond && time.nanos() >= 0 &&
         time.nanos() <= kNanosMax;
}

}  // namespace gantry::model
