// Placement rules.
#include "app/cli/commands.h"
#include "app/cli/launch_parts.h"
#include "app/cli/record_commands.h"

namespace gantry::app {
namespace {

const std::map<std::string, v1::RuleSpec::Kind>& kinds() {
  static const std::map<std::string, v1::RuleSpec::Kind> kKinds = {{"together", v1::RuleSpec::TOGETHER},
                                                                   {"apart", v1::RuleSpec::APART},
                                                                   {"on-hosts", v1::RuleSpec::ON_HOSTS},
                                                                   {"not-on-hosts", v1::RuleSpec::NOT_ON_HOSTS}};
  return kKinds;
}

using Names = std::map<std::string, std::string>;

template <class List>
void add_names(Session& session, const std::string& rpc, Names& names) {
  auto client = session.api();
  if (!client) return;
  const auto all = fetch_all<List>(**client, rpc, v1::ListRequest());
  if (!all) return;
  for (const auto& record : all->items()) names[record.meta().id()] = record.meta().name();
}

std::string members(const google::protobuf::RepeatedPtrField<std::string>& ids,
                    const google::protobuf::Map<std::string, std::string>& labels, const Names& names) {
  std::string text;
  for (const auto& id : ids) {
    const auto name = names.find(id);
    text += (text.empty() ? "" : ",") + (name == names.end() ? id : name->second);
  }
  const std::map<std::string, std::string> ordered(labels.begin(), labels.end());
  for (const auto& [key, value] : ordered) text += (text.empty() ? "" : ",") + key + "=" + value;
  return text.empty() ? "-" : text;
}

// Ids say nothing to people.
Table rule_table(Session& session, const v1::RuleList& list) {
  Names names;
  if (!list.items().empty()) {
    add_names<v1::VmList>(session, "ListVms", names);
    add_names<v1::HostList>(session, "ListHosts", names);
  }
  Table table({"NAME", "KIND", "REQUIRED", "VMS", "HOSTS", "DOMAIN", "ID"});
  for (const auto& rule : list.items()) {
    const auto& spec = rule.spec();
    table.add({rule.meta().name(), v1::RuleSpec::Kind_Name(spec.kind()), spec.preferred() ? "no" : "yes",
               members(spec.vms(), spec.vm_labels(), names), members(spec.hosts(), spec.host_labels(), names),
               spec.failure_domain().empty() ? "-" : spec.failure_domain(), rule.meta().id()});
  }
  return table;
}

struct Options {
  std::string name;
  std::string kind;
  bool preferred = false;
  bool required = false;
  std::vector<std::string> vms;
  std::vector<std::string> vm_labels;
  std::vector<std::string> hosts;
  std::vector<std::string> host_labels;
  std::string domain;
  std::vector<std::string> labels;
};

// Those that making and changing a rule have in common.
void add_options(CLI::App& command, Options& options) {
  command.add_option("--vm", options.vms, "A VM it is about; may be given again")->type_name("VM");
  command
      .add_option("--vm-label", options.vm_labels,
                  "All VMs with this label, now and later: key=value; with more, all "
                  "of them")
      ->check(label());
  command.add_option("--host", options.hosts, "A host, of on-hosts and not-on-hosts; may be given again")
      ->type_name("HOST");
  command
      .add_option("--host-label", options.host_labels, "All hosts with this label: key=value; with more, all of them")
      ->check(label());
  command.add_option("--domain", options.domain,
                     "Of together and apart: a host label; hosts with the same value of it count as one");
  command.add_option("-l,--label", options.labels, "key=value; may be given again")->check(label());
}

// Into a RuleSpec or an UpdateRuleRequest, whose fields have the same names.
template <class Message>
void fill(const Options& options, Message& message) {
  message.set_preferred(options.preferred);
  message.mutable_vms()->Assign(options.vms.begin(), options.vms.end());
  add_labels(options.vm_labels, *message.mutable_vm_labels());
  message.mutable_hosts()->Assign(options.hosts.begin(), options.hosts.end());
  add_labels(options.host_labels, *message.mutable_host_labels());
  message.set_failure_domain(options.domain);
}

void add_create(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "create", "Make a rule, for guests that are placed or started from now on",
                               "gantry rule create databases --kind apart --vm db1 --vm db2\n"
                               "gantry rule create web --kind apart --vm-label tier=web --domain rack --preferred\n"
                               "gantry rule create licensed --kind on-hosts --vm erp --host alpha --host beta");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "Its name: a-z, 0-9 and -")->required();
  command
      ->add_option(
          "--kind", options->kind,
          "together: on one host; apart: never two on one host; on-hosts, not-on-hosts: only there, never there")
      ->required()
      ->check(CLI::IsMember({"together", "apart", "on-hosts", "not-on-hosts"}));
  add_options(*command, *options);
  command->add_flag("--preferred", options->preferred, "Kept where it can be; else it must be");
  commands.run(command, [&session = commands.session, options] {
    v1::CreateRuleRequest request;
    request.set_name(options->name);
    add_labels(options->labels, *request.mutable_labels());
    request.mutable_spec()->set_kind(kinds().at(options->kind));
    fill(*options, *request.mutable_spec());
    return session.run_change("CreateRule", request);
  });
}

void add_set(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "set", "Change a rule; each list given takes the place of the one there was",
                               "gantry rule set databases --vm db1 --vm db2 --vm db3\ngantry rule set web --required");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "Name or id")->required()->type_name("RULE");
  add_options(*command, *options);
  auto* preferred = command->add_flag("--preferred", options->preferred, "Kept where it can be");
  command->add_flag("--required", options->required, "It must be kept")->excludes(preferred);
  commands.run(command, [&session = commands.session, command, options] {
    v1::UpdateRuleRequest request;
    request.set_id(options->name);
    add_labels(options->labels, *request.mutable_labels());
    fill(*options, request);
    const std::pair<const char*, const char*> fields[] = {
        {"--preferred", "preferred"},   {"--required", "preferred"}, {"--vm", "vms"},
        {"--vm-label", "vm_labels"},    {"--host", "hosts"},         {"--host-label", "host_labels"},
        {"--domain", "failure_domain"}, {"--label", "labels"}};
    for (const auto& [option, field] : fields) {
      if (command->count(option) != 0) request.mutable_update_mask()->add_paths(field);
    }
    if (!request.has_update_mask()) {
      return report(Error{ErrorCode::invalid_argument, "nothing to change of rule " + options->name, "",
                          "give one of its options: gantry rule set --help"});
    }
    return session.run_change("UpdateRule", request);
  });
}

}  // namespace

void add_rule_commands(const Commands& commands) {
  auto* group = commands.group("rule", "Which virtual machines may share a host, and which hosts they may run on",
                               "gantry rule list\ngantry rule create databases --kind apart --vm db1 --vm db2");
  add_record_commands<v1::Rule, v1::RuleList>(
      commands, *group, "rule", "Rule",
      [&session = commands.session](const v1::RuleList& list) { return rule_table(session, list); });
  add_create(commands, *group);
  add_set(commands, *group);
}

}  // namespace gantry::app
