// What hosts say is shown to people and kept in records: whoever sent it, its texts must not be able to deceive.
#pragma once

#include <google/protobuf/message.h>

#include <cstddef>

#include "model/printable_text.h"

namespace gantry::control {

struct TextLimits {
  std::size_t bytes_max = 0;
  model::Lines lines = model::Lines::one;
};

// Every text in it, at whatever depth, as model::printable_text has it. A time that JSON has no form for is taken out.
void make_printable(google::protobuf::Message& message, const TextLimits& limits);

}  // namespace gantry::control
