// JSON straight from a message's fields. protobuf's own writer goes by bytes and type names, which takes some ten times
// as long: what a list of a thousand records costs is mostly this.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace gantry::server {

// Appends the message as json.h has it. False for what it does not know (bytes, google.protobuf types other than
// Timestamp) and what JSON cannot show (text that is no UTF-8, a time beyond the year 9999); `text` is of no use then.
bool append_json(const google::protobuf::Message& message, std::string& text);

}  // namespace gantry::server
