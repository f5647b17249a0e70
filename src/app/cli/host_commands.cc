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

}  // namespace

void add_host_commands(const Commands& commands) {
  auto* group =
      commands.group("host", "Servers that run virtual machines", "gantry host list\ngantry host cordon alpha");
  add_list_and_show<v1::Host, v1::HostList>(commands, *group, "host", "Host", host_table);
  add_cordon(commands, *group, "cordon", "Place no new virtual machines on a host", true);
  add_cordon(commands, *group, "uncordon", "Let a host take new virtual machines again", false);
}

}  // namespace gantry::app
