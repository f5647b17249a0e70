#include "app/cli/commands.h"
#include "app/cli/launch_parts.h"
#include "model/limits.h"

namespace gantry::app {

void add_set_command(const Commands& commands) {
  struct Options {
    std::string name;
    std::uint32_t cpus = 0;
    std::string memory;
    std::uint32_t stop_timeout_seconds = 0;
    std::vector<std::string> labels;
    bool no_labels = false;
    std::string cpu_model;
    bool no_cpu_model = false;
    bool no_host_labels = false;
    std::vector<std::string> host_labels;
    std::vector<std::string> security_groups;
    bool no_security_groups = false;
    std::uint32_t nic = 0;
  };
  auto* command =
      commands.add(commands.app, "set",
                   "Change a virtual machine: size, processors and hosts from its next start on, the rest at once",
                   "gantry set web --cpus 4 --memory 4G\ngantry set web --stop-timeout 300\n"
                   "gantry set web --security-group web --security-group admin\n"
                   "gantry set web --cpu-model Nehalem --host-label rack=r1");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "Name or id")->required()->type_name("VM");
  command->add_option("-c,--cpus", options->cpus, "Processors")->type_name("N")->check(within(1, model::kCpusMax));
  command->add_option("-m,--memory", options->memory, "Memory, such as 512M or 2G")->type_name("SIZE");
  command
      ->add_option("--stop-timeout", options->stop_timeout_seconds,
                   "Seconds that stops wait for the guest before forcing it")
      ->type_name("SECONDS")
      ->check(within(1, model::kStopTimeoutSecondsMax));
  auto* labels =
      command->add_option("-l,--label", options->labels, "key=value, in place of all it has; may be given again")
          ->check(label());
  command->add_flag("--no-labels", options->no_labels, "Take all labels from it")->excludes(labels);
  auto* model = command->add_option("--cpu-model", options->cpu_model, "Its processors, from its next start on");
  command->add_flag("--no-cpu-model", options->no_cpu_model, "Processors as its hosts have them")->excludes(model);
  auto* host_labels =
      command
          ->add_option("--host-label", options->host_labels,
                       "key=value that hosts it starts on must have, in place of all; may be given again")
          ->check(label());
  command->add_flag("--no-host-labels", options->no_host_labels, "Hosts with any labels will do")
      ->excludes(host_labels);
  auto* groups = command
                     ->add_option("--security-group", options->security_groups,
                                  "What is let through to and from its NIC, at once, in place of the groups that it "
                                  "has; may be given again")
                     ->type_name("SECURITY-GROUP");
  command
      ->add_flag("--no-security-groups", options->no_security_groups,
                 "Take all security groups from its NIC: everything is let through")
      ->excludes(groups);
  command->add_option("--nic", options->nic, "Which NIC that is, counted from 0")
      ->type_name("N")
      ->check(within(0, model::kNicsMax - 1))
      ->capture_default_str();
  commands.run(command, [&session = commands.session, command, options] {
    v1::UpdateVmRequest request;
    request.set_cpu_model(options->cpu_model);
    add_labels(options->host_labels, *request.mutable_host_labels());
    request.set_id(options->name);
    request.set_cpus(options->cpus);
    request.set_stop_timeout_seconds(options->stop_timeout_seconds);
    add_labels(options->labels, *request.mutable_labels());
    if (!options->security_groups.empty() || options->no_security_groups) {
      v1::NicGroups& asked = *request.add_nic_security_groups();
      asked.set_nic(options->nic);
      asked.mutable_security_groups()->Assign(options->security_groups.begin(), options->security_groups.end());
    }
    if (!options->memory.empty()) {
      const auto mebibytes = parse_mebibytes(options->memory);
      if (!mebibytes) return report(mebibytes.error());
      request.set_memory_mib(*mebibytes);
    }
    const std::pair<const char*, const char*> fields[] = {{"--cpus", "cpus"},
                                                          {"--memory", "memory_mib"},
                                                          {"--stop-timeout", "stop_timeout_seconds"},
                                                          {"--label", "labels"},
                                                          {"--no-labels", "labels"},
                                                          {"--cpu-model", "cpu_model"},
                                                          {"--no-cpu-model", "cpu_model"},
                                                          {"--host-label", "host_labels"},
                                                          {"--no-host-labels", "host_labels"},
                                                          {"--security-group", "nic_security_groups"},
                                                          {"--no-security-groups", "nic_security_groups"}};
    for (const auto& [option, field] : fields) {
      if (command->count(option) != 0) request.mutable_update_mask()->add_paths(field);
    }
    if (!request.has_update_mask()) {
      return report(Error{ErrorCode::invalid_argument, "nothing to change of VM " + options->name, "",
                          "give one of its options: gantry set --help"});
    }
    return session.run_change("UpdateVm", request);
  });
}

}  // namespace gantry::app
