// Admission of placement rules.
#include <map>
#include <set>

#include "control/admission.h"
#include "control/rule_check.h"
#include "model/validate.h"
#include "policy/rule.h"

namespace gantry::control {
namespace {

// Names become ids, each once, in order.
template <class Record>
Result<void> resolve(const Change& change, google::protobuf::RepeatedPtrField<std::string>& references) {
  std::set<std::string> ids;
  for (const std::string& reference : references) {
    auto record = change.find<Record>(reference);
    if (!record) return fail(std::move(record.error()));
    ids.insert((*record)->meta().id());
  }
  references.Assign(ids.begin(), ids.end());
  return {};
}

template <class Record>
std::string listed(const View& view, const google::protobuf::RepeatedPtrField<std::string>& ids,
                   const policy::Labels& labels) {
  std::set<std::string> names;
  for (const std::string& id : ids) {
    const auto* record = view.find<Record>(id);
    names.insert(record != nullptr ? record->meta().name() : id);
  }
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  if (labels.empty()) return text;
  std::string wanted;
  const std::map<std::string, std::string> ordered(labels.begin(), labels.end());
  for (const auto& [key, value] : ordered) wanted += (wanted.empty() ? "" : ",") + key + "=" + value;
  return text + (text.empty() ? "" : " and ") + "all with " + wanted;
}

std::string sentence(const View& view, const v1::RuleSpec& spec) {
  const std::string vms = listed<v1::Vm>(view, spec.vms(), spec.vm_labels());
  const std::string hosts = listed<v1::Host>(view, spec.hosts(), spec.host_labels());
  const std::string where = spec.failure_domain().empty() ? "host" : spec.failure_domain();
  const std::string begin = spec.preferred() ? "if it can be, " : "";
  switch (spec.kind()) {
    case v1::RuleSpec::TOGETHER: return begin + "place VMs (" + vms + ") on one " + where;
    case v1::RuleSpec::APART: return begin + "never place two of the VMs (" + vms + ") on one " + where;
    case v1::RuleSpec::ON_HOSTS: return begin + "place VMs (" + vms + ") only on hosts (" + hosts + ")";
    default: return begin + "place VMs (" + vms + ") on no host of (" + hosts + ")";
  }
}

// Whether the rule can be taken, and what taking it means.
Result<void> consider(Change& change, const v1::Rule& rule) {
  GANTRY_CHECK(check_possible(change.view(), rule));
  change.step(sentence(change.view(), rule.spec()));
  for (std::string& broken : broken_now(change.view(), rule)) change.warn(std::move(broken));
  return {};
}

// One that lost members, as they were deleted, can be changed for all that, but not into what could not be made.
bool must_be_whole(const v1::RuleSpec& spec, const std::set<std::string>& fields) {
  for (const char* field : {"vms", "vm_labels", "hosts", "host_labels"}) {
    if (fields.contains(field)) return true;
  }
  return fields.contains("failure_domain") && policy::is_about_hosts(spec);
}

}  // namespace

Result<void> create_rule(Change& change, const v1::CreateRuleRequest& request) {
  v1::Rule rule;
  auto meta = change.new_meta<v1::Rule>(request.name(), request.labels());
  if (!meta) return fail(std::move(meta.error()));
  *rule.mutable_meta() = std::move(*meta);
  *rule.mutable_spec() = request.spec();
  change.name_target("rule.create", rule.meta());
  GANTRY_CHECK(resolve<v1::Vm>(change, *rule.mutable_spec()->mutable_vms()));
  GANTRY_CHECK(resolve<v1::Host>(change, *rule.mutable_spec()->mutable_hosts()));
  GANTRY_CHECK(model::check_rule_spec(rule.spec()));
  GANTRY_CHECK(consider(change, rule));
  change.draft.create(std::move(rule));
  change.succeed_at_once();
  return {};
}

Result<void> update_rule(Change& change, const v1::UpdateRuleRequest& request) {
  auto target = change.target<v1::Rule>("rule.update", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Rule& rule = **target;
  v1::RuleSpec& spec = *rule.mutable_spec();
  const auto fields = model::fields_to_change(request);
  if (fields.contains("labels")) *rule.mutable_meta()->mutable_labels() = request.labels();
  if (fields.contains("preferred")) spec.set_preferred(request.preferred());
  if (fields.contains("vms")) {
    *spec.mutable_vms() = request.vms();
    GANTRY_CHECK(resolve<v1::Vm>(change, *spec.mutable_vms()));
  }
  if (fields.contains("vm_labels")) *spec.mutable_vm_labels() = request.vm_labels();
  if (fields.contains("hosts")) {
    *spec.mutable_hosts() = request.hosts();
    GANTRY_CHECK(resolve<v1::Host>(change, *spec.mutable_hosts()));
  }
  if (fields.contains("host_labels")) *spec.mutable_host_labels() = request.host_labels();
  if (fields.contains("failure_domain")) spec.set_failure_domain(request.failure_domain());
  if (must_be_whole(spec, fields)) GANTRY_CHECK(model::check_rule_spec(spec));
  GANTRY_CHECK(consider(change, rule));
  rule.mutable_meta()->set_generation(rule.meta().generation() + 1);
  change.succeed_at_once();
  return {};
}

Result<void> delete_rule(Change& change, const v1::ById& request) {
  auto target = change.target<v1::Rule>("rule.delete", request.id());
  if (!target) return fail(std::move(target.error()));
  change.step("forget rule " + (*target)->meta().name() + "; every guest stays where it is");
  change.draft.erase<v1::Rule>((*target)->meta().id());
  change.succeed_at_once();
  return {};
}

}  // namespace gantry::control
