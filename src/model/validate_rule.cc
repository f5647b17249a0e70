#include "model/limits.h"
#include "model/validate.h"

namespace gantry::model {
namespace {

Checked check_references(const std::string& field, const google::protobuf::RepeatedPtrField<std::string>& references) {
  if (references.size() > kRuleMembersMax) {
    return bad_field(field, "they are more than " + std::to_string(kRuleMembersMax), "choose them by a label instead");
  }
  for (const std::string& reference : references) GANTRY_CHECK(check_reference(field, reference, true));
  return {};
}

Checked check_domain(const std::string& field, const std::string& key) {
  google::protobuf::Map<std::string, std::string> labels;
  if (!key.empty()) labels[key] = "";
  return check_labels(labels, field);
}

// What is only known of the whole.
Checked check_distance_rule(const v1::RuleSpec& spec) {
  if (!spec.hosts().empty() || !spec.host_labels().empty()) {
    return bad_field("spec.hosts", "a rule of this kind is about VMs alone", "leave hosts out, or use another kind");
  }
  if (spec.vms_size() < 2 && spec.vm_labels().empty()) {
    return bad_field("spec.vms", "it takes two VMs", "name more, or give vmLabels");
  }
  return {};
}

Checked check_host_rule(const v1::RuleSpec& spec) {
  if (spec.hosts().empty() && spec.host_labels().empty()) {
    return bad_field("spec.hosts", "it names no host", "give hosts or hostLabels");
  }
  if (spec.vms().empty() && spec.vm_labels().empty()) {
    return bad_field("spec.vms", "it names no VM", "give vms or vmLabels");
  }
  if (!spec.failure_domain().empty()) {
    return bad_field("spec.failureDomain", "only rules of kind TOGETHER and APART have one", "leave it out");
  }
  return {};
}

}  // namespace

Checked check_rule_spec(const v1::RuleSpec& spec) {
  if (!v1::RuleSpec::Kind_IsValid(spec.kind())) return bad_field("spec.kind", "no such kind", std::string(kSeeApi));
  GANTRY_CHECK(check_references("spec.vms", spec.vms()));
  GANTRY_CHECK(check_references("spec.hosts", spec.hosts()));
  GANTRY_CHECK(check_labels(spec.vm_labels(), "spec.vmLabels"));
  GANTRY_CHECK(check_labels(spec.host_labels(), "spec.hostLabels"));
  GANTRY_CHECK(check_domain("spec.failureDomain", spec.failure_domain()));
  const bool about_hosts = spec.kind() == v1::RuleSpec::ON_HOSTS || spec.kind() == v1::RuleSpec::NOT_ON_HOSTS;
  return about_hosts ? check_host_rule(spec) : check_distance_rule(spec);
}

Checked validate(const v1::CreateRuleRequest& request) {
  GANTRY_CHECK(check_name("name", request.name()));
  GANTRY_CHECK(check_labels(request.labels()));
  return check_rule_spec(request.spec());
}

Checked validate(const v1::UpdateRuleRequest& request) {
  GANTRY_CHECK(check_reference("id", request.id(), true));
  GANTRY_CHECK(check_fields_to_change(request));
  GANTRY_CHECK(check_references("vms", request.vms()));
  GANTRY_CHECK(check_references("hosts", request.hosts()));
  GANTRY_CHECK(check_labels(request.labels()));
  GANTRY_CHECK(check_labels(request.vm_labels(), "vmLabels"));
  GANTRY_CHECK(check_labels(request.host_labels(), "hostLabels"));
  return check_domain("failureDomain", request.failure_domain());
}

}  // namespace gantry::model
