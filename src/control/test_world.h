// For tests of this room: a whole manager over the fakes, and calls that wait for their answers.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/fakes.h"
#include "control/manager.h"
#include "control/view.h"
#include "gantry/v1/routes.pb.h"
#include "model/sha256.h"
#include "model/state.h"

namespace gantry::control {

inline const std::string kHostId = "host-000000000001";

struct World {
  FakeExecutor executor;
  FakeStore store{executor};
  FakeLink link;
  FakeHost host{executor, link, kHostId};
  std::uint64_t seed = 1;
  ManagerOptions options;
  std::unique_ptr<ManagerCore> core;

  // Other hosts, and all that each was ever sent.
  std::map<std::string, std::unique_ptr<FakeHost>> joined;
  std::map<std::string, std::vector<v1::ToHost>> sent;

  World() {
    link.to_host = [this](const std::string& id, const v1::ToHost& message) {
      sent[id].push_back(message);
      if (id == kHostId) host.receive(message);
      if (joined.contains(id)) joined.at(id)->receive(message);
    };
    begin();
    host.connect();
    executor.run_for(100);
  }

  void begin() {
    options.seed = ++seed;
    options.own_hosts = {kHostId};
    core = std::make_unique<ManagerCore>(store, link, executor, options);
    core->start();
  }
  // As a crash does; the host connects anew.
  void restart() {
    core.reset();
    begin();
    host.connect();
  }

  static v1::KeepHostTokenRequest token_request(const std::string& secret) {
    v1::KeepHostTokenRequest request;
    request.set_secret_hash(model::sha256_hex(secret));
    return request;
  }
  static v1::AdmitHostRequest admit_request(const std::string& secret, const std::string& name) {
    v1::AdmitHostRequest request;
    request.set_secret_hash(model::sha256_hex(secret));
    request.set_host_name(name);
    request.set_pool_path("/pools/" + name);
    return request;
  }
  // A machine that joins with a token of its own and connects; its id.
  std::string join(const std::string& name) {
    (void)call("KeepHostToken", token_request(name));
    const auto accepted = accept("AdmitHost", admit_request(name, name));
    std::string id = accepted.task().target_id();
    joined[id] = std::make_unique<FakeHost>(executor, link, id);
    joined[id]->connect();
    executor.run_for(1'000);
    return id;
  }

  using Answered = Result<std::unique_ptr<google::protobuf::Message>>;
  Answered call(const std::string& rpc, const google::protobuf::Message& request, port::CallOptions call_options = {}) {
    if (call_options.actor.empty()) call_options.actor = "admin";
    std::optional<Answered> answered;
    core->call(rpc, request, call_options, [&](Answered answer) { answered = std::move(answer); });
    for (int i = 0; i < 1000 && !answered; ++i) executor.run_for(20);
    if (!answered) return fail(ErrorCode::internal, "no answer");
    return std::move(*answered);
  }

  // The accepted change's task, as it was then; fails the test otherwise.
  v1::Accepted accept(const std::string& rpc, const google::protobuf::Message& request,
                      port::CallOptions call_options = {}) {
    Answered answered = call(rpc, request, std::move(call_options));
    if (!answered) {
      ADD_FAILURE() << rpc << ": " << answered.error().to_text();
      return {};
    }
    return dynamic_cast<v1::Accepted&>(**answered);
  }
  // The word of the refusal; empty when it was accepted.
  std::string refused(const std::string& rpc, const google::protobuf::Message& request,
                      port::CallOptions call_options = {}) {
    const Answered answered = call(rpc, request, std::move(call_options));
    return answered ? std::string() : answered.error().word();
  }

  static v1::DeleteHostRequest leave(const std::string& id) {
    v1::DeleteHostRequest request;
    request.set_id(id);
    return request;
  }
  static v1::ById by_id(const std::string& id) {
    v1::ById request;
    request.set_id(id);
    return request;
  }
  static v1::StopVmRequest stop_request(bool force = false) {
    v1::StopVmRequest request;
    request.set_id("web");
    request.set_force(force);
    return request;
  }
  template <class Record>
  [[nodiscard]] const Record* find(const std::string& name) const {
    return core->view().resolve<Record>(name);
  }
  [[nodiscard]] const v1::Vm& vm(const std::string& name = "web") const {
    static const v1::Vm kNone;
    const auto* found = find<v1::Vm>(name);
    return found != nullptr ? *found : kNone;
  }
  [[nodiscard]] v1::Task task(const std::string& id) const {
    const auto* found = core->view().find<v1::Task>(id);
    return found != nullptr ? *found : v1::Task();
  }
  // The task once it ended, or after a minute.
  v1::Task ended(const v1::Accepted& accepted) {
    for (int i = 0; i < 600 && !model::is_ended(task(accepted.task().meta().id()).state()); ++i) executor.run_for(100);
    return task(accepted.task().meta().id());
  }

  static v1::CreateImageRequest image_request(const std::string& name = "debian-12") {
    v1::CreateImageRequest request;
    request.set_name(name);
    request.mutable_spec()->set_recipe("debian-12");
    return request;
  }
  v1::Task make_image(const std::string& name = "debian-12") {
    return ended(accept("CreateImage", image_request(name)));
  }
  // The image "mine", which waits for its upload; the host sleeps.
  v1::Accepted make_image_to_upload() {
    host.asleep = true;
    v1::CreateImageRequest request;
    request.set_name("mine");
    request.mutable_spec()->set_upload(true);
    return accept("CreateImage", request);
  }
  // "data", of 1 GiB.
  static v1::CreateVolumeRequest volume_request() {
    v1::CreateVolumeRequest request;
    request.set_name("data");
    request.mutable_spec()->set_capacity_bytes(1ULL << 30U);
    return request;
  }
  static v1::CreateVmRequest vm_request(const std::string& name = "web") {
    v1::CreateVmRequest request;
    request.set_name(name);
    request.mutable_spec()->set_image("debian-12");
    request.mutable_spec()->set_memory_mib(1024);
    return request;
  }
  v1::Task make_vm(const std::string& name = "web") { return ended(accept("CreateVm", vm_request(name))); }
};

}  // namespace gantry::control
