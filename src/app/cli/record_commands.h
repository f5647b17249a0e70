// The list, show and delete commands, which are alike for every kind of record.
#pragma once

#include <cctype>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/cli/commands.h"

namespace gantry::app {

// The kind as the type of an option's value: "IMAGE".
inline std::string value_of(std::string word) {
  for (char& letter : word) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return word;
}

template <class Record, class List>
void add_list_and_show(const Commands& commands, CLI::App& group, const std::string& word, const std::string& kind,
                       std::function<Table(const List&)> table) {
  auto* list = commands.add(group, "list", "List all", "gantry " + word + " list\ngantry " + word + " list -o json");
  auto labels = std::make_shared<std::string>();
  list->add_option("-l,--label", *labels, "Only those with these labels: key=value[,key=value]")->check(label_filter());
  commands.run(list, [&session = commands.session, labels, kind, table] {
    v1::ListRequest request;
    request.set_labels(*labels);
    return list_records<List>(session, "List" + kind + "s", request, table);
  });
  auto* show = commands.add(group, "show", "Show everything about one", "gantry " + word + " show NAME");
  auto name = std::make_shared<std::string>();
  show->add_option("name", *name, "Name or id")->required()->type_name(value_of(word));
  commands.run(show,
               [&session = commands.session, name, kind] { return show_record<Record>(session, "Get" + kind, *name); });
}

inline void add_delete(const Commands& commands, CLI::App& group, const std::string& word, const std::string& kind) {
  auto* remove = commands.add(group, "delete", "Delete, if nothing uses it",
                              "gantry " + word + " delete NAME\ngantry " + word + " delete NAME --dry-run");
  auto names = std::make_shared<std::vector<std::string>>();
  remove->add_option("name", *names, "Names or ids")->required()->type_name(value_of(word));
  commands.run(remove, [&session = commands.session, names, kind] {
    int code = 0;
    for (const auto& one : *names) {
      v1::ById request;
      request.set_id(one);
      if (const int result = session.run_change("Delete" + kind, request); result != 0) code = result;
    }
    return code;
  });
}

template <class Record, class List>
void add_record_commands(const Commands& commands, CLI::App& group, const std::string& word, const std::string& kind,
                         std::function<Table(const List&)> table) {
  add_list_and_show<Record, List>(commands, group, word, kind, table);
  add_delete(commands, group, word, kind);
}

}  // namespace gantry::app
