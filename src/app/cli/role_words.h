// Roles as people write them.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "gantry/v1/access.pb.h"

namespace gantry::app {

inline const std::map<std::string, v1::Role>& roles_by_word() {
  static const std::map<std::string, v1::Role> kRoles = {
      {"none", v1::NO_ROLE}, {"viewer", v1::VIEWER}, {"operator", v1::OPERATOR}, {"administrator", v1::ADMINISTRATOR}};
  return kRoles;
}

inline std::string role_word(v1::Role role) {
  for (const auto& [word, known] : roles_by_word()) {
    if (known == role) return word;
  }
  return "?";
}

// --role; `into` must outlive the command.
inline CLI::Option* add_role_option(CLI::App& command, v1::Role& into, const std::string& what) {
  return command
      .add_option_function<std::string>(
          "--role", [&into](const std::string& word) { into = roles_by_word().at(word); }, what)
      ->check(CLI::IsMember({"none", "viewer", "operator", "administrator"}));
}

}  // namespace gantry::app
