#include <iostream>

#include "app/cli/commands.h"
#include "app/cli/record_commands.h"

namespace gantry::app {
namespace {

Table host_table(const v1::HostList& list) {
  Table table({"NAME", "STATE", "CPUS", "MEMORY", "ACCELERATOR", "QEMU", "ID"});
  for (const auto& host : list.items()) {
    const auto& status = host.status();
    const std::string state = v1::HostStatus::State_Name(status.state());
    table.add({host.meta().name(), host.spec().cordoned() ? state + " (cordoned)" : state,
               std::to_string(status.cpus()), human_bytes(status.memory_bytes()), status.accelerator(),
               status.qemu_version(), host.meta().id()});
  }
  return table;
}

void add_cordon(const Commands& commands, CLI::App& group, const std::string& word, const std::string& what,
                bool cordoned) {
  auto* command = commands.add(group, word, what, "gantry host " + word + " NAME");
  auto name = std::make_shared<std::string>();
  command->add_option("name", *name, "Name or id")->required()->type_name("HOST");
  commands.run(command, [&session = commands.session, name, cordoned] {
    v1::UpdateHostRequest request;
    request.set_id(*name);
    request.set_cordoned(cordoned);
    request.mutable_update_mask()->add_paths("cordoned");
    return session.run_change("UpdateHost", request);
  });
}

void add_token(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "token", "Make a token that lets one machine become a host, within an hour",
                               "gantry host token\ngantry -o json host token");
  commands.run(command, [&session = commands.session] {
    const v1::CreateHostTokenRequest request;
    return session.run_direct<v1::CreateHostTokenAnswer>(
        "CreateHostToken", request, [&](const v1::CreateHostTokenAnswer& made) {
          if (session.format() != Format::table) {
            print_record(made, session.format());
            return 0;
          }
          std::cout << "gantryd join " << made.token() << "\n";
          if (!session.options.quiet) {
            std::cerr << "Run that as root on the machine that is to be a host, within an hour; it serves once.\n"
                         "The machine must reach "
                      << made.addresses(0) << ".\n";
          }
          return 0;
        });
  });
}

void add_leave(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "leave", "Take leave of a host that nothing is on",
                               "gantry host leave beta\ngantry host leave beta --dry-run");
  auto name = std::make_shared<std::string>();
  command->add_option("name", *name, "Name or id")->required()->type_name("HOST");
  commands.run(command, [&session = commands.session, name] {
    v1::ById request;
    request.set_id(*name);
    return session.run_change("DeleteHost", request);
  });
}

}  // namespace

void add_host_commands(const Commands& commands) {
  auto* group =
      commands.group("host", "Servers that run virtual machines", "gantry host list\ngantry host cordon alpha");
  add_list_and_show<v1::Host, v1::HostList>(commands, *group, "host", "Host", host_table);
  add_cordon(commands, *group, "cordon", "Place no new virtual machines on a host", true);
  add_cordon(commands, *group, "uncordon", "Let a host take new virtual machines again", false);
  add_token(commands, *group);
  add_leave(commands, *group);
}

}  // namespace gantry::app
