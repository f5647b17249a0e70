// Protobuf JSON at the edge. Written: lowerCamelCase names, 64-bit numbers as strings, and every scalar, enum and list
// even at its default, because several enums mean something at zero ("power": "RUNNING") and scripts should find what
// they look for. Read: strictly, both spellings of a name.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::server {

// One line, ended by a newline.
std::string write_json(const google::protobuf::Message& message);

// Refuses what is not one JSON object (RFC 8259), names given twice, unknown fields (named in the error), unknown enum
// values, NUL characters and nesting beyond 32 levels. Empty text is an empty object.
Result<void> read_json(std::string_view text, google::protobuf::Message& message);

}  // namespace gantry::server
