// From the store's changes to what clients may see of them.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "gantry/v1/routes.pb.h"
#include "port/store.h"

namespace gantry::server {

// The kinds a ChangeEvent can carry, in order: those of its oneof.
const std::set<std::string>& public_kinds();

// Of the record that changed, by its key; empty when the key is not of that form.
std::string kind_of(const port::Change& change);
// Nothing for keys of other kinds (users, sessions, tokens, name indexes) and for records that cannot be read.
std::optional<v1::ChangeEvent> to_change_event(const port::Change& change);

// "vm,task"; empty: all. invalid_argument names an unknown one.
Result<std::set<std::string>> parse_kinds(const std::string& text);

// A server-sent event without the empty line that ends it, so that an id may follow.
std::string event_text(const std::string& name, const google::protobuf::Message& data);

}  // namespace gantry::server
