// Whether an API call that changes something is accepted, and what is written then. Pure: the same view, time and
// random numbers give the same answer.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"
#include "control/change.h"
#include "control/view.h"
#include "gantry/v1/routes.pb.h"
#include "port/manager.h"

namespace gantry::control {

struct Admitted {
  // Without writes: nothing changes (a dry run, or a repeat by idempotency key) and `answer` is final.
  port::Txn txn;
  // The record to answer with once the transaction is committed: the task, or of UploadImage the image.
  std::string answer_id = {};
  // The task of the transaction, and what its guard key holds once it is committed. CancelTask, UploadImage and
  // KeepHostToken have one that is not kept.
  std::string change_id = {};
  // v1::Accepted, or without dry_run v1::Task for CancelTask, v1::Image for UploadImage and v1::HostToken for
  // KeepHostToken; as of now.
  std::unique_ptr<google::protobuf::Message> answer = {};
};

// Whether `rpc` is one of those below.
bool is_change(const std::string& rpc);

// `request` must be of the type that routes.proto gives `rpc`.
Result<Admitted> admit(const std::string& rpc, const google::protobuf::Message& request,
                       const port::CallOptions& options, const View& view, Now now, Rng& rng);

// The handlers, one for each CHANGE route. Each validated request is turned into changes of the draft and a plan.
Result<void> create_vm(Change& change, const v1::CreateVmRequest& request);
Result<void> update_vm(Change& change, const v1::UpdateVmRequest& request);
Result<void> delete_vm(Change& change, const v1::DeleteVmRequest& request);
Result<void> start_vm(Change& change, const v1::ById& request);
Result<void> stop_vm(Change& change, const v1::StopVmRequest& request);
Result<void> restart_vm(Change& change, const v1::StopVmRequest& request);
Result<void> reset_vm(Change& change, const v1::ById& request);
Result<void> pause_vm(Change& change, const v1::ById& request);
Result<void> resume_vm(Change& change, const v1::ById& request);
Result<void> move_vm(Change& change, const v1::MoveVmRequest& request);
Result<void> create_volume(Change& change, const v1::CreateVolumeRequest& request);
Result<void> move_volume(Change& change, const v1::MoveVolumeRequest& request);
Result<void> resize_volume(Change& change, const v1::ResizeVolumeRequest& request);
Result<void> delete_volume(Change& change, const v1::ById& request);
Result<void> create_image(Change& change, const v1::CreateImageRequest& request);
Result<void> delete_image(Change& change, const v1::ById& request);
Result<void> create_network(Change& change, const v1::CreateNetworkRequest& request);
Result<void> delete_network(Change& change, const v1::ById& request);
// Their tasks end at once: hosts are told as soon as it is written.
Result<void> create_security_group(Change& change, const v1::CreateSecurityGroupRequest& request);
Result<void> update_security_group(Change& change, const v1::UpdateSecurityGroupRequest& request);
Result<void> delete_security_group(Change& change, const v1::ById& request);
Result<void> create_pool(Change& change, const v1::CreatePoolRequest& request);
Result<void> delete_pool(Change& change, const v1::ById& request);
Result<void> create_rule(Change& change, const v1::CreateRuleRequest& request);
Result<void> update_rule(Change& change, const v1::UpdateRuleRequest& request);
Result<void> delete_rule(Change& change, const v1::ById& request);
Result<void> update_host(Change& change, const v1::UpdateHostRequest& request);
Result<void> delete_host(Change& change, const v1::DeleteHostRequest& request);
// Asked by the link when a machine comes with a token; no route.
Result<void> admit_host(Change& change, const v1::AdmitHostRequest& request);

// CancelTask: edits the task named, and its target so that what it asked for is taken back.
Result<void> cancel_task(Change& change, const std::string& task_id);
// KeepHostToken, of CreateHostToken: the record of a token whose secret is the caller's alone.
Result<v1::HostToken> keep_host_token(Change& change, const v1::KeepHostTokenRequest& request);
// UploadImage: says that the content has come.
Result<void> announce_upload(Change& change, const std::string& image);

}  // namespace gantry::control
