#include <iostream>

#include "app/cli/commands.h"
#include "app/cli/launch_parts.h"
#include "app/cli/record_commands.h"

namespace gantry::app {
namespace {

std::string state_of(const v1::Host& host) {
  std::string state = v1::HostStatus::State_Name(host.status().state());
  if (host.spec().maintenance()) state += " (maintenance)";
  if (host.spec().cordoned()) state += " (cordoned)";
  return state;
}

std::string problems_of(const v1::HostStatus& status) {
  if (status.problems().empty()) return "-";
  const std::string more =
      status.problems_size() > 1 ? " (" + std::to_string(status.problems_size() - 1) + " more)" : "";
  return reason_of(status.problems(0)) + more;
}

Table host_table(const v1::HostList& list) {
  Table table({"NAME", "STATE", "CPUS", "MEMORY", "ACCELERATOR", "QEMU", "ID", "REASON"});
  for (const auto& host : list.items()) {
    const auto& status = host.status();
    table.add({host.meta().name(), state_of(host), std::to_string(status.cpus()), human_bytes(status.memory_bytes()),
               status.accelerator(), status.qemu_version(), host.meta().id(), problems_of(status)});
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

void add_maintenance(const Commands& commands, CLI::App& group) {
  auto* command =
      commands.add(group, "maintenance",
                   "Empty a host, so that it may be turned off: no guest is placed or started there, and those that "
                   "run are moved to others. Waits until none is left",
                   "gantry host maintenance alpha --dry-run\ngantry host maintenance alpha\n"
                   "gantry host maintenance alpha --end");
  auto name = std::make_shared<std::string>();
  auto end = std::make_shared<bool>(false);
  command->add_option("name", *name, "Name or id")->required()->type_name("HOST");
  command->add_flag("--end", *end, "It is over: guests may run there again; none is brought back");
  commands.run(command, [&session = commands.session, name, end] {
    v1::UpdateHostRequest request;
    request.set_id(*name);
    request.set_maintenance(!*end);
    request.mutable_update_mask()->add_paths("maintenance");
    return session.run_change("UpdateHost", request);
  });
}

void add_set(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "set", "Label a host, for VMs and rules that go by labels",
                               "gantry host set alpha --label rack=r1 --label disk=ssd\n"
                               "gantry host set alpha --no-labels");
  auto name = std::make_shared<std::string>();
  auto labels = std::make_shared<std::vector<std::string>>();
  command->add_option("name", *name, "Name or id")->required()->type_name("HOST");
  auto* given = command->add_option("-l,--label", *labels, "key=value, in place of all it has; may be given again")
                    ->check(label());
  auto no_labels = std::make_shared<bool>(false);
  command->add_flag("--no-labels", *no_labels, "Take all labels from it")->excludes(given);
  commands.run(command, [&session = commands.session, name, labels, no_labels] {
    if (labels->empty() && !*no_labels) {
      return report(Error{ErrorCode::invalid_argument, "nothing to change of host " + *name, "",
                          "give --label or --no-labels: gantry host set --help"});
    }
    v1::UpdateHostRequest request;
    request.set_id(*name);
    add_labels(*labels, *request.mutable_labels());
    request.mutable_update_mask()->add_paths("labels");
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
                               "gantry host leave beta\ngantry host leave beta --dry-run\n"
                               "gantry host leave beta --machine-is-off");
  auto request = std::make_shared<v1::DeleteHostRequest>();
  command->add_option("name", *request->mutable_id(), "Name or id")->required()->type_name("HOST");
  command->add_flag_callback(
      "--machine-is-off", [request] { request->set_machine_is_off(true); },
      "You have seen to it that no guest there can still write to shared pools");
  commands.run(command, [&session = commands.session, request] { return session.run_change("DeleteHost", *request); });
}

}  // namespace

void add_host_commands(const Commands& commands) {
  auto* group =
      commands.group("host", "Servers that run virtual machines", "gantry host list\ngantry host cordon alpha");
  add_list_and_show<v1::Host, v1::HostList>(commands, *group, "host", "Host", host_table);
  add_cordon(commands, *group, "cordon", "Place no new virtual machines on a host", true);
  add_cordon(commands, *group, "uncordon", "Let a host take new virtual machines again", false);
  add_maintenance(commands, *group);
  add_set(commands, *group);
  add_token(commands, *group);
  add_leave(commands, *group);
}

}  // namespace gantry::app
