// What users and groups have in common: how they are read, found and refused.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "gantry/v1/access.pb.h"
#include "google/protobuf/field_mask.pb.h"
#include "model/check.h"
#include "port/store.h"

namespace gantry::server {

// The records of a range, by name, with their revisions. What cannot be read is left out.
template <class Record>
std::map<std::string, Record> by_name(const port::Range& range) {
  std::map<std::string, Record> records;
  for (const port::Entry& entry : range.entries) {
    Record record;
    if (!record.ParseFromString(entry.value)) continue;
    record.mutable_meta()->set_revision(entry.modified);
    records[record.meta().name()] = std::move(record);
  }
  return records;
}

// By id, then by name; nullptr: there is none.
template <class Record>
const Record* find_record(const std::map<std::string, Record>& records, const std::string& name_or_id) {
  for (const auto& [name, record] : records) {
    if (record.meta().id() == name_or_id) return &record;
  }
  const auto found = records.find(name_or_id);
  return found == records.end() ? nullptr : &found->second;
}

inline Result<void> check_known_role(v1::Role role) {
  if (v1::Role_IsValid(role)) return {};
  return model::bad_field("role", "it is none of the roles", "choose NO_ROLE, VIEWER, OPERATOR or ADMINISTRATOR");
}

// That it names something, and nothing but `fields`.
inline Result<void> check_mask(const google::protobuf::FieldMask& mask,
                               std::initializer_list<std::string_view> fields) {
  if (mask.paths().empty()) {
    return model::bad_field("updateMask", "the request names nothing to change", "name what is to change in the body");
  }
  for (const std::string& path : mask.paths()) {
    if (std::find(fields.begin(), fields.end(), path) != fields.end()) continue;
    return model::bad_field("updateMask", "\"" + path + "\" cannot be changed", std::string(model::kSeeApi));
  }
  return {};
}

inline Error name_taken(const std::string& noun, const std::string& name) {
  return Error{ErrorCode::already_exists, "there is already a " + noun + " \"" + name + "\"", "names are unique",
               "choose another name"};
}

inline Error changed_meanwhile(const std::string& noun, const std::string& name) {
  return Error{ErrorCode::conflict, "the " + noun + " \"" + name + "\" was not changed",
               "another call changed it just now", "look at it, then try again"};
}

inline Error no_such_group(const std::string& name_or_id) {
  return Error{ErrorCode::not_found, "there is no group \"" + name_or_id + "\"",
               "no name and no id of one is like that", "see \"gantry group list\""};
}

}  // namespace gantry::server
