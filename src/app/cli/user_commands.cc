// Users and groups of them.
#include <iostream>
#include <map>

#include "app/cli/ask_secret.h"
#include "app/cli/commands.h"
#include "app/cli/role_words.h"

namespace gantry::app {
namespace {

template <class List>
int list_all(Session& session, const std::string& rpc, const std::function<Table(const List&)>& table) {
  auto client = session.api();
  if (!client) return report(client.error());
  const auto all = (*client)->call<List>(rpc, v1::Empty());
  if (!all) return report(all.error());
  if (session.format() == Format::table) {
    std::cout << table(*all).text();
  } else {
    print_record(*all, session.format());
  }
  return 0;
}

// Ids say nothing to people.
std::map<std::string, std::string> group_names(Session& session) {
  std::map<std::string, std::string> names;
  auto client = session.api();
  if (!client) return names;
  const auto all = (*client)->call<v1::GroupList>("ListGroups", v1::Empty());
  if (!all) return names;
  for (const auto& group : all->items()) names[group.meta().id()] = group.meta().name();
  return names;
}

Table user_table(Session& session, const v1::UserList& list) {
  const auto names = group_names(session);
  Table table({"NAME", "ROLE", "GROUPS", "DISABLED", "ID"});
  for (const auto& user : list.items()) {
    std::string groups;
    for (const std::string& id : user.groups()) {
      const auto name = names.find(id);
      groups += (groups.empty() ? "" : ",") + (name == names.end() ? id : name->second);
    }
    table.add({user.meta().name(), role_word(user.role()), groups.empty() ? "-" : groups,
               user.disabled() ? "yes" : "no", user.meta().id()});
  }
  return table;
}

Table group_table(const v1::GroupList& list) {
  Table table({"NAME", "ROLE", "ID"});
  for (const auto& group : list.items()) {
    table.add({group.meta().name(), role_word(group.role()), group.meta().id()});
  }
  return table;
}

// What is made or changed is said by its name, or shown whole in another format.
template <class Record>
int run_and_name(Session& session, const std::string& rpc, const google::protobuf::Message& request) {
  return session.run_direct<Record>(rpc, request, [&session](const Record& record) {
    if (session.format() == Format::table) {
      std::cout << record.meta().name() << "\n";
    } else {
      print_record(record, session.format());
    }
    return 0;
  });
}

void add_show_and_delete(const Commands& commands, CLI::App& group, const std::string& word, const std::string& kind,
                         const std::function<int(const std::string&)>& show_one) {
  const std::string type = word == "user" ? "USER" : "GROUP";
  auto* show = commands.add(group, "show", "Show everything about one", "gantry " + word + " show NAME");
  auto name = std::make_shared<std::string>();
  show->add_option("name", *name, "Name or id")->required()->type_name(type);
  commands.run(show, [name, show_one] { return show_one(*name); });

  auto* remove =
      commands.add(group, "delete",
                   word == "user" ? "Delete a user, with their sessions and tokens" : "Delete a group; its users stay",
                   "gantry " + word + " delete NAME\ngantry " + word + " delete NAME --dry-run");
  auto gone = std::make_shared<v1::ById>();
  remove->add_option("name", *gone->mutable_id(), "Name or id")->required()->type_name(type);
  commands.run(remove, [&session = commands.session, gone, kind] {
    return session.run_direct<v1::Empty>("Delete" + kind, *gone, [](const v1::Empty&) { return 0; });
  });
}

void add_user_create(const Commands& commands, CLI::App& group) {
  auto* create = commands.add(group, "create", "Make a user; asks for the first password",
                              "gantry user create vera --role viewer\n"
                              "gantry user create olga --group night-shift\n"
                              "echo \"$PASSWORD\" | gantry user create ci --role operator");
  auto request = std::make_shared<v1::CreateUserRequest>();
  auto role = std::make_shared<v1::Role>(v1::NO_ROLE);
  auto groups = std::make_shared<std::vector<std::string>>();
  create->add_option("name", *request->mutable_name(), "Whom they sign in as")->required();
  add_role_option(*create, *role, "What they may; without, what their groups may");
  create->add_option("--group", *groups, "A group they are in; may be repeated")->type_name("GROUP");
  commands.run(create, [&session = commands.session, request, role, groups] {
    request->set_role(*role);
    for (const std::string& name : *groups) request->add_groups(name);
    const auto password = ask_new_password("Password of " + request->name());
    if (!password) return report(password.error());
    request->set_password(*password);
    return run_and_name<v1::User>(session, "CreateUser", *request);
  });
}

void add_user_set(const Commands& commands, CLI::App& group) {
  struct Options {
    v1::Role role = v1::NO_ROLE;
    std::vector<std::string> groups;
    bool no_groups = false;
    bool disable = false;
    bool enable = false;
    std::string name;
  };
  auto* set =
      commands.add(group, "set", "Change what a user may",
                   "gantry user set vera --role operator\ngantry user set vera --group night-shift --group web\n"
                   "gantry user set vera --disable");
  auto options = std::make_shared<Options>();
  set->add_option("name", options->name, "Name or id")->required()->type_name("USER");
  auto* role = add_role_option(*set, options->role, "What they may, beside what their groups may");
  auto* groups = set->add_option("--group", options->groups, "All the groups they are to be in; may be repeated")
                     ->type_name("GROUP");
  set->add_flag("--no-groups", options->no_groups, "Take them out of all groups")->excludes(groups);
  auto* disable =
      set->add_flag("--disable", options->disable, "End their sessions, and let neither them nor their tokens in");
  set->add_flag("--enable", options->enable, "Let them sign in again")->excludes(disable);
  commands.run(set, [&session = commands.session, options, role] {
    v1::UpdateUserRequest request;
    request.set_id(options->name);
    if (role->count() != 0) {
      request.set_role(options->role);
      request.mutable_update_mask()->add_paths("role");
    }
    for (const std::string& name : options->groups) request.add_groups(name);
    if (options->no_groups || !options->groups.empty()) request.mutable_update_mask()->add_paths("groups");
    request.set_disabled(options->disable);
    if (options->disable || options->enable) request.mutable_update_mask()->add_paths("disabled");
    if (!request.has_update_mask()) {
      return report(Error{ErrorCode::invalid_argument, "nothing to change was given", "no option says what",
                          "see \"gantry user set --help\""});
    }
    return run_and_name<v1::User>(session, "UpdateUser", request);
  });
}

void add_user_password(const Commands& commands, CLI::App& group) {
  auto* password =
      commands.add(group, "password", "Set another user's password; their sessions end", "gantry user password vera");
  auto name = std::make_shared<std::string>();
  password->add_option("name", *name, "Name")->required()->type_name("USER");
  commands.run(password, [&session = commands.session, name] {
    v1::ChangePasswordRequest request;
    request.set_user(*name);
    const auto fresh = ask_new_password("New password of " + *name);
    if (!fresh) return report(fresh.error());
    request.set_new_password(*fresh);
    return session.run_direct<v1::Empty>("ChangePassword", request, [](const v1::Empty&) { return 0; });
  });
}

void add_groups(const Commands& commands) {
  auto* group = commands.group("group", "Groups of users, and the role they have by it",
                               "gantry group list\ngantry group create night-shift --role operator");
  auto* list = commands.add(*group, "list", "List all", "gantry group list\ngantry group list -o json");
  commands.run(list,
               [&session = commands.session] { return list_all<v1::GroupList>(session, "ListGroups", group_table); });
  add_show_and_delete(commands, *group, "group", "Group", [&session = commands.session](const std::string& name) {
    return show_record<v1::Group>(session, "GetGroup", name);
  });

  auto* create = commands.add(*group, "create", "Make a group", "gantry group create night-shift --role operator");
  auto made = std::make_shared<v1::CreateGroupRequest>();
  auto role = std::make_shared<v1::Role>(v1::NO_ROLE);
  create->add_option("name", *made->mutable_name(), "What it is called")->required();
  add_role_option(*create, *role, "What its users may")->required();
  commands.run(create, [&session = commands.session, made, role] {
    made->set_role(*role);
    return run_and_name<v1::Group>(session, "CreateGroup", *made);
  });

  auto* set =
      commands.add(*group, "set", "Change what a group's users may", "gantry group set night-shift --role viewer");
  auto changed = std::make_shared<v1::UpdateGroupRequest>();
  auto other = std::make_shared<v1::Role>(v1::NO_ROLE);
  set->add_option("name", *changed->mutable_id(), "Name or id")->required()->type_name("GROUP");
  add_role_option(*set, *other, "What its users may")->required();
  commands.run(set, [&session = commands.session, changed, other] {
    changed->set_role(*other);
    changed->mutable_update_mask()->add_paths("role");
    return run_and_name<v1::Group>(session, "UpdateGroup", *changed);
  });
}

}  // namespace

void add_user_commands(const Commands& commands) {
  auto* group = commands.group("user", "Who may sign in, and what they may",
                               "gantry user list\ngantry user create vera --role viewer");
  auto* list = commands.add(*group, "list", "List all", "gantry user list\ngantry user list -o json");
  commands.run(list, [&session = commands.session] {
    return list_all<v1::UserList>(session, "ListUsers",
                                  [&session](const v1::UserList& all) { return user_table(session, all); });
  });
  add_show_and_delete(commands, *group, "user", "User", [&session = commands.session](const std::string& name) {
    return show_record<v1::User>(session, "GetUser", name);
  });
  add_user_create(commands, *group);
  add_user_set(commands, *group);
  add_user_password(commands, *group);
  add_groups(commands);
}

}  // namespace gantry::app
