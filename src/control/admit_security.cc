// Admission of security groups, and of which NIC has which.
#include <algorithm>

#include "control/admission.h"
#include "control/admit_nics.h"
#include "control/refuse_used.h"
#include "model/ipv4.h"
#include "model/state.h"
#include "model/validate.h"

namespace gantry::control {
namespace {

std::string count_of(int rules) { return std::to_string(rules) + (rules == 1 ? " rule" : " rules"); }

// Names become ids, segments are written one way. `own`: the group that is being made, which is not on record yet.
Result<void> resolve_rules(const Change& change, const v1::Meta& own,
                           google::protobuf::RepeatedPtrField<v1::SecurityRule>& rules) {
  for (v1::SecurityRule& rule : rules) {
    if (const auto subnet = model::parse_ipv4_subnet(rule.subnet()))
      rule.set_subnet(model::format_ipv4_subnet(*subnet));
    if (rule.port_last() == rule.port()) rule.clear_port_last();
    if (rule.group().empty()) continue;
    if (rule.group() == own.name() || rule.group() == own.id()) {
      rule.set_group(own.id());
      continue;
    }
    auto group = change.find<v1::SecurityGroup>(rule.group());
    if (!group) return fail(std::move(group.error()));
    rule.set_group((*group)->meta().id());
  }
  return {};
}

}  // namespace

Result<void> create_security_group(Change& change, const v1::CreateSecurityGroupRequest& request) {
  auto meta = change.new_meta<v1::SecurityGroup>(request.name(), request.labels());
  if (!meta) return fail(std::move(meta.error()));
  change.name_target("security_group.create", *meta);
  v1::SecurityGroup group;
  *group.mutable_meta() = std::move(*meta);
  *group.mutable_spec() = request.spec();
  GANTRY_CHECK(resolve_rules(change, group.meta(), *group.mutable_spec()->mutable_rules()));
  change.step("make security group " + request.name() + " of " + count_of(group.spec().rules_size()));
  change.draft.create(std::move(group));
  change.succeed_at_once();
  return {};
}

Result<void> update_security_group(Change& change, const v1::UpdateSecurityGroupRequest& request) {
  auto target = change.target<v1::SecurityGroup>("security_group.update", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::SecurityGroup& group = **target;
  const auto fields = model::fields_to_change(request);
  if (fields.contains("rules")) {
    v1::SecurityGroupSpec next;
    *next.mutable_rules() = request.rules();
    GANTRY_CHECK(resolve_rules(change, group.meta(), *next.mutable_rules()));
    if (to_bytes(next) != to_bytes(group.spec())) {
      *group.mutable_spec() = std::move(next);
      group.mutable_meta()->set_generation(group.meta().generation() + 1);
      const auto users = change.view().users_of_kind<v1::Vm>(group.meta().id()).size();
      change.step("give security group " + group.meta().name() + " " + count_of(group.spec().rules_size()) +
                  ", at once for " + std::to_string(users) + (users == 1 ? " VM" : " VMs"));
    }
  }
  if (fields.contains("labels")) change.label(request.labels(), *group.mutable_meta(), "security group");
  if (change.task.plan().steps().empty())
    change.step("nothing: security group " + group.meta().name() + " is as asked");
  change.succeed_at_once();
  return {};
}

Result<void> delete_security_group(Change& change, const v1::ById& request) {
  auto target = change.target<v1::SecurityGroup>("security_group.delete", request.id());
  if (!target) return fail(std::move(target.error()));
  const v1::SecurityGroup& group = **target;
  GANTRY_CHECK((refuse_used<v1::SecurityGroup, v1::Vm>(change, group, "security_group_in_use")));
  GANTRY_CHECK((refuse_used<v1::SecurityGroup, v1::SecurityGroup>(change, group, "security_group_in_use")));
  change.step("delete security group " + group.meta().name());
  // No host has it once no VM does.
  change.draft.erase<v1::SecurityGroup>(std::string(group.meta().id()));
  change.succeed_at_once();
  return {};
}

Result<void> resolve_groups(const Change& change, const v1::Network& network,
                            google::protobuf::RepeatedPtrField<std::string>& groups) {
  if (groups.empty()) return {};
  const bool user_mode =
      network.spec().kind() == v1::NetworkSpec::USER || network.status().effective_kind() == v1::NetworkSpec::USER;
  if (user_mode) {
    return fail(ErrorCode::invalid_argument,
                "a NIC on network \"" + network.meta().name() + "\" cannot have security groups",
                "in user mode its packets are its own QEMU's, and pass no bridge where they could be held",
                "use a network of kind NAT, BRIDGE, VLAN or OVERLAY", "groups_not_allowed");
  }
  for (std::string& name : groups) {
    auto group = change.find<v1::SecurityGroup>(name);
    if (!group) return fail(std::move(group.error()));
    name = (*group)->meta().id();
  }
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  return {};
}

Result<bool> change_groups(Change& change, const v1::UpdateVmRequest& request, v1::Vm& vm) {
  bool changed = false;
  for (const v1::NicGroups& asked : request.nic_security_groups()) {
    if (asked.nic() >= static_cast<std::uint32_t>(vm.spec().nics_size())) {
      return fail(ErrorCode::not_found, "VM \"" + vm.meta().name() + "\" has no NIC " + std::to_string(asked.nic()),
                  "it has " + std::to_string(vm.spec().nics_size()) + ", counted from 0", "see \"gantry show\"");
    }
    v1::VmNic& nic = *vm.mutable_spec()->mutable_nics(static_cast<int>(asked.nic()));
    const auto* network = change.view().find<v1::Network>(nic.network());
    if (network == nullptr) return fail(ErrorCode::internal, "a network vanished while it was being used");
    auto groups = asked.security_groups();
    GANTRY_CHECK(resolve_groups(change, *network, groups));
    if (std::equal(groups.begin(), groups.end(), nic.security_groups().begin(), nic.security_groups().end())) continue;
    *nic.mutable_security_groups() = std::move(groups);
    changed = true;
    change.step("give NIC " + std::to_string(asked.nic()) + " of VM " + vm.meta().name() +
                (nic.security_groups().empty()
                     ? std::string(" no security group: everything is let through")
                     : " " + std::to_string(nic.security_groups_size()) + " security groups") +
                ", at once");
  }
  return changed;
}

}  // namespace gantry::control
