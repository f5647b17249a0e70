#include <iostream>

#include "app/cli/commands.h"
#include "model/limits.h"

namespace gantry::app {
namespace {

// Of one that is on its way to another host.
std::string move_of(const v1::Vm& vm) {
  const auto& told = vm.status().move();
  const bool is_this_one = told.task_id() == vm.placement().move().task_id();
  if (!is_this_one || !told.progress().measurable()) return " (moving)";
  return " (moving, " + std::to_string(told.progress().percent()) + "%)";
}

std::string state_of(const v1::Vm& vm) {
  const auto& status = vm.status();
  std::string state = v1::VmStatus::State_Name(status.state());
  if (!status.waiting_for().empty()) state += " (" + status.waiting_for() + ")";
  if (vm.placement().has_move()) return state + move_of(vm);
  const bool fetches = status.move().fetching() && status.host_id() == vm.placement().host_id();
  return fetches ? state + " (fetching memory)" : state;
}

std::string address_of(const v1::Vm& vm) {
  for (const auto& nic : vm.spec().nics()) {
    if (!nic.ipv4().empty()) return nic.ipv4();
  }
  for (const auto& interface : vm.status().guest().interfaces()) {
    for (const auto& address : interface.addresses()) {
      if (interface.name() != "lo" && address.find(':') == std::string::npos) return address;
    }
  }
  return "-";
}

Table vm_table(const v1::VmList& list) {
  Table table({"NAME", "STATE", "CPUS", "MEMORY", "ADDRESS", "SYSTEM", "ID", "REASON"});
  for (const auto& vm : list.items()) {
    const auto& system = vm.status().guest().operating_system();
    table.add({vm.meta().name(), state_of(vm), std::to_string(vm.spec().cpus()),
               human_bytes(std::uint64_t{vm.spec().memory_mib()} << 20U), address_of(vm), system.empty() ? "-" : system,
               vm.meta().id(), reason_of(vm.status().problem())});
  }
  return table;
}

// Ids say nothing to people: what they stand for is told beside them.
std::map<std::string, std::string> names_in(ApiClient& client, const v1::Vm& vm) {
  std::map<std::string, std::string> names;
  const auto ask = [&](const std::string& rpc, const std::string& id, auto record) {
    if (id.empty() || names.count(id) != 0) return;
    v1::ById request;
    request.set_id(id);
    // What is gone meanwhile has no name any more.
    if (const auto found = client.call<decltype(record)>(rpc, request)) names[id] = found->meta().name();
  };
  ask("GetImage", vm.spec().image(), v1::Image());
  ask("GetHost", vm.spec().host(), v1::Host());
  ask("GetHost", vm.placement().host_id(), v1::Host());
  ask("GetHost", vm.placement().move().host_id(), v1::Host());
  for (const auto& left : vm.placement().left_hosts()) ask("GetHost", left.host_id(), v1::Host());
  for (const auto& disk : vm.spec().disks()) ask("GetVolume", disk.volume(), v1::Volume());
  for (const auto& nic : vm.spec().nics()) ask("GetNetwork", nic.network(), v1::Network());
  return names;
}

int show_vm(Session& session, const std::string& name) {
  if (session.format() != Format::table) return show_record<v1::Vm>(session, "GetVm", name);
  auto client = session.api();
  if (!client) return report(client.error());
  v1::ById request;
  request.set_id(name);
  const auto vm = (*client)->call<v1::Vm>("GetVm", request);
  if (!vm) return report(vm.error());
  std::cout << with_names(to_yaml(*vm), names_in(**client, *vm));
  return 0;
}

// A command that does one thing to each of the VMs named.
void add_power_command(const Commands& commands, const std::string& name, const std::string& what,
                       const std::string& rpc) {
  auto* command =
      commands.add(commands.app, name, what, "gantry " + name + " web\ngantry " + name + " web db --no-wait");
  auto names = std::make_shared<std::vector<std::string>>();
  command->add_option("name", *names, "Names or ids")->required()->type_name("VM");
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
  command->add_option("name", options->names, "Names or ids")->required()->type_name("VM");
  command->add_flag("-f,--force", options->force, "Do not ask the guest: like pulling the plug");
  command
      ->add_option("--timeout", options->timeout_seconds,
                   "Seconds to wait for the guest before forcing it, this time; its own setting if not given; --force "
                   "for at once")
      ->type_name("SECONDS")
      ->check(within(1, model::kStopTimeoutSecondsMax));
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
  list->add_option("-l,--label", *labels, "Only those with these labels: key=value[,key=value]")->check(label_filter());
  commands.run(list, [&session = commands.session, labels] {
    v1::ListRequest request;
    request.set_labels(*labels);
    return list_records<v1::VmList>(session, "ListVms", request, vm_table);
  });

  auto* show = commands.add(commands.app, "show", "Show everything about a virtual machine", "gantry show web");
  auto name = std::make_shared<std::string>();
  show->add_option("name", *name, "Name or id")->required()->type_name("VM");
  commands.run(show, [&session = commands.session, name] { return show_vm(session, *name); });
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
  command->add_option("name", options->names, "Names or ids")->required()->type_name("VM");
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

}  // namespace

void add_vm_commands(const Commands& commands) {
  add_list_and_show(commands);
  add_power_command(commands, "start", "Start virtual machines", "StartVm");
  add_stop_command(commands, "stop", "Ask guests to power off, and force them after a timeout", "StopVm");
  add_stop_command(commands, "restart", "Stop virtual machines, then start them", "RestartVm");
  add_power_command(commands, "reset", "Reset at once, like the button on the case", "ResetVm");
  add_power_command(commands, "pause", "Hold the guests' processors", "PauseVm");
  add_power_command(commands, "resume", "Let paused guests go on", "ResumeVm");
  add_move_command(commands);
  add_set_command(commands);
  add_explain_command(commands);
  add_top_command(commands);
  add_metrics_command(commands);
  add_delete_command(commands);
}

}  // namespace gantry::app
