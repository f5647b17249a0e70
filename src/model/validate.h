// What can be said of a request without looking at any record. Each check answers the first field that is wrong; the
// error's code is invalid_argument, its reason "invalid_field".
#pragma once

#include <map>
#include <set>
#include <string>

#include "gantry/v1/join.pb.h"
#include "gantry/v1/routes.pb.h"
#include "model/check.h"
#include "model/limits.h"

namespace gantry::model {

Checked check_labels(const google::protobuf::Map<std::string, std::string>& labels,
                     const std::string& field = "labels");
// Of QEMU's letters; whether a host has it is another matter. Empty is fine.
Checked check_cpu_model(std::string_view field, std::string_view model);
// Of an Update...Request.
Checked check_fields_to_change(const google::protobuf::Message& request);
// Asked for a request and, as a change leaves it, at admission.
Checked check_rule_spec(const v1::RuleSpec& spec);

// Whether one machine has room for the disks and NICs of `spec`. Asked for a request and, with what its image and the
// defaults add to it, at admission.
Checked check_devices(const v1::VmSpec& spec);

Checked validate(const v1::CreateVmRequest& request);
Checked validate(const v1::UpdateVmRequest& request);
Checked validate(const v1::StopVmRequest& request);
Checked validate(const v1::MoveVmRequest& request);
Checked validate(const v1::DeleteVmRequest& request);
Checked validate(const v1::CreateVolumeRequest& request);
Checked validate(const v1::MoveVolumeRequest& request);
Checked validate(const v1::ResizeVolumeRequest& request);
Checked validate(const v1::CreateImageRequest& request);
Checked validate(const v1::CreateNetworkRequest& request);
Checked validate(const v1::CreateSecurityGroupRequest& request);
Checked validate(const v1::UpdateSecurityGroupRequest& request);
Checked validate(const v1::CreatePoolRequest& request);
Checked validate(const v1::UpdateHostRequest& request);
Checked validate(const v1::CreateRuleRequest& request);
Checked validate(const v1::UpdateRuleRequest& request);
Checked validate(const v1::KeepHostTokenRequest& request);
Checked validate(const v1::AdmitHostRequest& request);
Checked validate(const v1::DeleteHostRequest& request);
Checked validate(const v1::ById& request);
Checked validate(const v1::ListRequest& request);
Checked validate(const v1::ListTasksRequest& request);

// Security groups as NICs name them.
Checked check_groups(const std::string& field, const google::protobuf::RepeatedPtrField<std::string>& groups);
Checked check_nic_groups(const v1::UpdateVmRequest& request);

// The fields that an Update...Request is to change: those its update_mask names; without one, those that are not at
// their defaults.
std::set<std::string> fields_to_change(const google::protobuf::Message& request);

// "key=value,key=value" of a ListRequest; empty: none.
Result<std::map<std::string, std::string>> parse_label_filter(std::string_view text);

}  // namespace gantry::model
