#include "app/cli/commands.h"
#include "app/cli/launch_parts.h"
#include "app/cli/record_commands.h"
#include "app/cli/security_rules.h"

namespace gantry::app {
namespace {

Table group_table(const v1::SecurityGroupList& list) {
  std::map<std::string, std::string> names;
  for (const auto& group : list.items()) names[group.meta().id()] = group.meta().name();
  Table table({"NAME", "ID", "RULES"});
  for (const auto& group : list.items()) {
    std::string rules;
    for (v1::SecurityRule rule : group.spec().rules()) {
      if (const auto name = names.find(rule.group()); name != names.end()) rule.set_group(name->second);
      rules += (rules.empty() ? "" : " ") + rule_text(rule);
    }
    table.add({group.meta().name(), group.meta().id(), rules.empty() ? "-" : rules});
  }
  return table;
}

constexpr const char* kAllow =
    "A rule: in|out[:PROTOCOL[:PORTS[:PEER]]]. PROTOCOL: any, tcp, udp or icmp; PORTS: 22 or 8000-8099; PEER: a "
    "segment "
    "(192.0.2.0/24) or a group's name. May be given again";

template <class Rules>
Result<void> add_rules(const std::vector<std::string>& texts, Rules& rules) {
  for (const auto& text : texts) {
    auto rule = parse_rule(text);
    if (!rule) return fail(rule.error());
    *rules.Add() = std::move(*rule);
  }
  return {};
}

struct Options {
  std::string name;
  std::vector<std::string> rules;
  bool no_rules = false;
  std::vector<std::string> labels;
};

void add_create(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "create", "Make a security group",
                               "gantry security-group create web --allow in:tcp:80 --allow in:tcp:443 --allow out\n"
                               "gantry security-group create database --allow in:tcp:5432:web --allow out\n"
                               "gantry security-group create admin --allow in:tcp:22:192.0.2.0/24 --allow in:icmp");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "Its name: a-z, 0-9 and -")->required();
  command->add_option("--allow", options->rules, kAllow)->type_name("RULE");
  command->add_option("-l,--label", options->labels, "key=value; may be given again")->check(label());
  commands.run(command, [&session = commands.session, options] {
    v1::CreateSecurityGroupRequest request;
    request.set_name(options->name);
    add_labels(options->labels, *request.mutable_labels());
    auto added = add_rules(options->rules, *request.mutable_spec()->mutable_rules());
    return added ? session.run_change("CreateSecurityGroup", request) : report(added.error());
  });
}

void add_set(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "set", "Change a security group's rules or labels, at once for all that have it",
                               "gantry security-group set web --allow in:tcp:443 --allow out\n"
                               "gantry security-group set web --no-rules --dry-run");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "Name or id")->required()->type_name("SECURITY-GROUP");
  auto* rules = command->add_option("--allow", options->rules, std::string(kAllow) + "; in place of all it has")
                    ->type_name("RULE");
  command->add_flag("--no-rules", options->no_rules, "Take all rules from it: it lets nothing through")
      ->excludes(rules);
  command->add_option("-l,--label", options->labels, "key=value, in place of all it has; may be given again")
      ->check(label());
  commands.run(command, [&session = commands.session, options] {
    v1::UpdateSecurityGroupRequest request;
    request.set_id(options->name);
    add_labels(options->labels, *request.mutable_labels());
    if (auto added = add_rules(options->rules, *request.mutable_rules()); !added) return report(added.error());
    if (!options->rules.empty() || options->no_rules) request.mutable_update_mask()->add_paths("rules");
    if (!options->labels.empty()) request.mutable_update_mask()->add_paths("labels");
    if (!request.has_update_mask()) {
      return report(Error{ErrorCode::invalid_argument, "nothing to change of security group " + options->name, "",
                          "give --allow, --no-rules or --label: gantry security-group set --help"});
    }
    return session.run_change("UpdateSecurityGroup", request);
  });
}

}  // namespace

void add_security_group_commands(const Commands& commands) {
  auto* group = commands.group("security-group", "What may reach virtual machines, and what they may reach",
                               "gantry security-group create web --allow in:tcp:80 --allow out\n"
                               "gantry set www --security-group web");
  add_record_commands<v1::SecurityGroup, v1::SecurityGroupList>(commands, *group, "security-group", "SecurityGroup",
                                                                group_table);
  add_create(commands, *group);
  add_set(commands, *group);
}

}  // namespace gantry::app
