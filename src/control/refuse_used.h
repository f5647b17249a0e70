// What is used cannot be deleted. Internal to src/control.
#pragma once

#include <string>
#include <vector>

#include "control/change.h"
#include "control/host_records.h"

namespace gantry::control {

// A conflict naming the first of those `User`s; fine when there is none. `summary` says what cannot be done.
template <class User>
Result<void> refuse_users(const Change& change, const std::vector<std::string>& users, std::string summary,
                          const char* reason) {
  if (users.empty()) return {};
  const auto* user = change.view().template find<User>(users.front());
  const std::string noun(Kind<User>::noun);
  return fail(ErrorCode::conflict, std::move(summary),
              noun + " \"" + (user != nullptr ? user->meta().name() : users.front()) + "\"" +
                  (users.size() > 1 ? " and " + std::to_string(users.size() - 1) + " more use it" : " uses it"),
              "delete what uses it first", reason);
}

// Users that are being deleted do not count: those of a host that never comes back would be in the way for ever.
template <class User>
std::vector<std::string> lasting_users(const Change& change, const std::string& id) {
  auto users = change.view().template users_of_kind<User>(id);
  std::erase_if(users, [&](const std::string& user) {
    const auto* record = change.view().template find<User>(user);
    return record == nullptr || is_going(change.draft, *record);
  });
  return users;
}

template <class Record, class User>
Result<void> refuse_used(const Change& change, const Record& record, const char* reason) {
  return refuse_users<User>(change, change.view().template users_of_kind<User>(record.meta().id()),
                            Change::quoted<Record>("cannot delete the", record.meta().name()), reason);
}

}  // namespace gantry::control
