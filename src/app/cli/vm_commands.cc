#include <iostream>

#include "app/cli/commands.h"
#include "app/cli/launch_parts.h"

namespace gantry::app {
namespace {

std::string state_of(const v1::Vm& vm) {
  const auto& status = vm.status();
  std::string state = v1::VmStatus::State_Name(status.state());
  if (!status.waiting_for().empty()) state += " (" + printable(status.waiting_for()) + ")";
  return state;
}

std::string address_of(const v1::Vm& vm) {
  for (const auto& nic : vm.spec().nics()) {
    if (!nic.ipv4().empty()) return nic.ipv4();
  }
  for (const auto& interface : vm.status().guest().interfaces()) {
    for (const auto& address : interface.addresses()) {
      if (interface.name() != "lo" && address.find(':') == std::string::npos) return printable(address);
    }
  }
  return "-";
}

Table vm_table(const v1::VmList& list) {
  Table table({"NAME", "STATE", "CPUS", "MEMORY", "ADDRESS", "SYSTEM", "ID"});
  for (const auto& vm : list.items()) {
    const auto& system = vm.status().guest().operating_system();
    table.add({vm.meta().name(), state_of(vm), std::to_string(vm.spec().cpus()),
               human_bytes(std::uint64_t{vm.spec().memory_mib()} << 20U), address_of(vm),
               system.empty() ? "-" : printable(system), vm.meta().id()});
  }
  return table;
}

// A command that does one thing to each of the VMs named.
void add_power_command(const Commands& commands, const std::string& name, const std::string& what,
                       const std::string& rpc) {
  auto* command =
      commands.add(commands.app, name, what, "gantry " + name + " web\ngantry " + name + " web db --no-wait");
  auto names = std::make_shared<std::vector<std::string>>();
  command->add_option("name", *names, "Names or ids")->required();
  commands.run(command, [&session = commands.session, names, rpc] {
    int code = 0;
    for (const auto& vm : *names) {
      v1::ById request;
      request.set_id(vm);
      if (const int one = session.run_change(rpc, request); one != 0) code = one;
    }
    return code;
  });
}

void add_stop_command(const Commands& commands, const std::string& name, const std::string& what,
                      const std::string& rpc) {
  struct Options {
    std::vector<std::string> names;
    bool force = false;
    std::uint32_t timeout_seconds = 0;
  };
  auto* command =
      commands.add(commands.app, name, what,
                   "gantry " + name + " web\ngantry " + name + " web --timeout 10\ngantry " + name + " web --force");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->names, "Names or ids")->required();
  command->add_flag("-f,--force", options->force, "Do not ask the guest: like pulling the plug");
  command->add_option("--timeout", options->timeout_seconds,
                      "Seconds to wait for the guest before forcing it, this time; its own setting if not given");
  commands.run(command, [&session = commands.session, options, rpc] {
    int code = 0;
    for (const auto& vm : options->names) {
      v1::StopVmRequest request;
      request.set_id(vm);
      request.set_force(options->force);
      request.set_timeout_seconds(options->timeout_seconds);
      if (const int one = session.run_change(rpc, request); one != 0) code = one;
    }
    return code;
  });
}

void add_list_and_show(const Commands& commands) {
  auto* list = commands.add(commands.app, "list", "List virtual machines",
                            "gantry list\ngantry list -o json\ngantry list --label tier=web");
  auto labels = std::make_shared<std::string>();
  list->add_option("-l,--label", *labels, "Only those with these labels: key=value[,key=value]");
  commands.run(list, [&session = commands.session, labels] {
    v1::ListRequest request;
    request.set_labels(*labels);
    return list_records<v1::VmList>(session, "ListVms", request, vm_table);
  });

  auto* show = commands.add(commands.app, "show", "Show everything about a virtual machine", "gantry show web");
  auto name = std::make_shared<std::string>();
  show->add_option("name", *name, "Name or id")->required();
  commands.run(show, [&session = commands.session, name] { return show_record<v1::Vm>(session, "GetVm", *name); });
}

void add_delete_command(const Commands& commands) {
  struct Options {
    std::vector<std::string> names;
    bool keep_volumes = false;
    bool yes = false;
  };
  auto* command = commands.add(commands.app, "delete", "Delete virtual machines and the volumes made with them",
                               "gantry delete web\ngantry delete web --dry-run\ngantry delete web --keep-volumes");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->names, "Names or ids")->required();
  command->add_flag("--keep-volumes", options->keep_volumes, "Keep the volumes made with them");
  command->add_flag("-y,--yes", options->yes, "Do not ask, even on a terminal");
  commands.run(command, [&session = commands.session, options] {
    int code = 0;
    for (const auto& vm : options->names) {
      if (::isatty(0) != 0 && !options->yes && !session.options.dry_run) {
        std::cerr << "Delete VM " << vm << (options->keep_volumes ? "" : " and its volumes") << "? [y/N] ";
        std::string answer;
        std::getline(std::cin, answer);
        if (answer != "y" && answer != "yes") {
          std::cerr << "kept\n";
          continue;
        }
      }
      v1::DeleteVmRequest request;
      request.set_id(vm);
      request.set_keep_volumes(options->keep_volumes);
      if (const int one = session.run_change("DeleteVm", request); one != 0) code = one;
    }
    return code;
  });
}

void add_set_command(const Commands& commands) {
  struct Options {
    std::string name;
    std::uint32_t cpus = 0;
    std::string memory;
    std::uint32_t stop_timeout_seconds = 0;
    std::vector<std::string> labels;
  };
  auto* command =
      commands.add(commands.app, "set", "Change a virtual machine: its size from its next start on, the rest at once",
                   "gantry set web --cpus 4 --memory 4G\ngantry set web --stop-timeout 300");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "Name or id")->required();
  command->add_option("-c,--cpus", options->cpus, "Processors");
  command->add_option("-m,--memory", options->memory, "Memory, such as 512M or 2G");
  command->add_option("--stop-timeout", options->stop_timeout_seconds,
                      "Seconds that stops wait for the guest before forcing it");
  command->add_option("-l,--label", options->labels, "key=value, in place of all it has; may be given again");
  commands.run(command, [&session = commands.session, options] {
    v1::UpdateVmRequest request;
    request.set_id(options->name);
    request.set_cpus(options->cpus);
    request.set_stop_timeout_seconds(options->stop_timeout_seconds);
    add_labels(options->labels, *request.mutable_labels());
    if (!options->memory.empty()) {
      const auto mebibytes = parse_mebibytes(options->memory);
      if (!mebibytes) return report(mebibytes.error());
      request.set_memory_mib(*mebibytes);
    }
    return session.run_change("UpdateVm", request);
  });
}

}  // namespace

void add_vm_commands(const Commands& commands) {
  add_list_and_show(commands);
  add_power_command(commands, "start", "Start virtual machines", "StartVm");
  add_stop_command(commands, "stop", "Ask guests to power off, and force them after a timeout", "StopVm");
  add_stop_command(commands, "restart", "Stop virtual machines, then start them", "RestartVm");
  add_power_command(commands, "reset", "Reset at once, like the button on the case", "ResetVm");
  add_power_command(commands, "pause", "Hold the guests' processors", "PauseVm");
  add_power_command(commands, "resume", "Let paused guests go on", "ResumeVm");
  add_set_command(commands);
  add_delete_command(commands);
}

}  // namespace gantry::app
