// Values as the bytes that they are in memory, at the end of what is to be written.
#pragma once

#include <cstring>
#include <string>
#include <type_traits>

namespace gantry::metrics {

template <class Value>
void add_bytes(std::string& bytes, const Value* values, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<Value>);
  const std::size_t before = bytes.size();
  bytes.resize(before + count * sizeof(Value));
  std::memcpy(bytes.data() + before, values, count * sizeof(Value));
}

}  // namespace gantry::metrics
