// What every change has in common: ids, the fields it names, the record it is held against.
#include "control/change.h"

#include <gmock/gmock.h>

#include <map>

#include "base/id.h"
#include "control/admission.h"
#include "control/test_world.h"
#include "model/keys.h"
#include "model/uid.h"

namespace gantry::control {
namespace {

// Two seeds whose first VM after a task has the same user, and those VMs' ids.
struct UidTwins {
  std::uint64_t seeds[2];
  std::string ids[2];
};

UidTwins find_uid_twins() {
  std::map<std::uint32_t, std::pair<std::uint64_t, std::string>> seen;
  for (std::uint64_t seed = 1;; ++seed) {
    Rng rng(seed);
    make_id("task", rng);
    const std::string id = make_id("vm", rng);
    const auto [found, fresh] = seen.emplace(model::guest_uid(id), std::make_pair(seed, id));
    if (!fresh) return {{found->second.first, seed}, {found->second.second, id}};
  }
}

TEST(Drafts, WhatIsAsItWasCountsNoMore) {
  World world;
  world.make_image();
  world.make_vm();
  const std::string image_id = world.find<v1::Image>("debian-12")->meta().id();
  const std::string vm_id = world.vm().meta().id();
  Draft draft(world.core->view());
  (void)draft.edit<v1::Image>(image_id);
  v1::Vm gone;
  gone.mutable_meta()->set_id("vm-made-and-gone");
  draft.create<v1::Vm>(gone);
  draft.erase<v1::Vm>("vm-made-and-gone");
  draft.edit<v1::Vm>(vm_id).mutable_spec()->set_memory_mib(17);
  draft.put("/key", "value");
  EXPECT_EQ(draft.changes(), 4U);
  draft.drop_unchanged();
  EXPECT_EQ(draft.changes(), 2U);
  EXPECT_EQ(draft.build().writes.size(), 2U);
  EXPECT_EQ(draft.find<v1::Vm>(vm_id)->spec().memory_mib(), 17U);
  EXPECT_NE(draft.find<v1::Image>(image_id), nullptr);
  draft.erase<v1::Vm>(vm_id);
  draft.drop_unchanged();
  EXPECT_EQ(draft.changes(), 2U);
}

TEST(Changes, NoTwoGuestsHaveTheSameUser) {
  World world;
  world.make_image();
  const UidTwins twins = find_uid_twins();
  const port::CallOptions options{.actor = "admin"};
  const auto vm_of = [&](const View& view, std::uint64_t seed, const std::string& name) {
    Rng rng(seed);
    auto admitted = admit("CreateVm", World::vm_request(name), options, view, world.executor.now(), rng);
    EXPECT_TRUE(admitted);
    std::vector<std::string> ids;
    for (const port::Write& write : admitted->txn.writes) {
      v1::Vm vm;
      if (write.key.rfind(model::prefix_of(model::kVm), 0) == 0 && vm.ParseFromString(write.value))
        ids.push_back(vm.meta().id());
    }
    EXPECT_EQ(ids.size(), 1U);
    return ids.empty() ? std::string() : ids.front();
  };
  // What would be drawn is known; so the other is refused for the first alone.
  EXPECT_EQ(vm_of(world.core->view(), twins.seeds[0], "one"), twins.ids[0]);
  EXPECT_EQ(vm_of(world.core->view(), twins.seeds[1], "two"), twins.ids[1]);
  v1::Vm first;
  first.mutable_meta()->set_id(twins.ids[0]);
  first.mutable_meta()->set_name("one");
  port::Txn txn;
  txn.writes.push_back({.key = model::record_key(model::kVm, twins.ids[0]), .value = first.SerializeAsString()});
  world.store.commit(std::move(txn), [](const port::CommitResult&) {});
  world.executor.run_for(100);
  ASSERT_NE(world.find<v1::Vm>(twins.ids[0]), nullptr);
  const std::string second = vm_of(world.core->view(), twins.seeds[1], "two");
  EXPECT_NE(second, twins.ids[1]);
  EXPECT_NE(model::guest_uid(second), model::guest_uid(twins.ids[0]));
}

TEST(Changes, AnUpdateChangesWhatItNamesAndSaysWhenThatIsNothing) {
  World world;
  world.make_image();
  v1::CreateVmRequest create = World::vm_request();
  (*create.mutable_labels())["tier"] = "web";
  world.ended(world.accept("CreateVm", create));
  v1::UpdateVmRequest request;
  request.set_id("web");
  EXPECT_EQ(world.refused("UpdateVm", request), "invalid_field");
  request.mutable_update_mask()->add_paths("boot");
  EXPECT_EQ(world.refused("UpdateVm", request), "invalid_field");
  request.mutable_update_mask()->set_paths(0, "cpus");
  EXPECT_EQ(world.refused("UpdateVm", request), "invalid_field") << "no VM has 0 CPUs";
  const auto steps = [&] {
    const v1::Accepted accepted = world.accept("UpdateVm", request);
    EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
    return accepted.plan().steps_size() == 1 ? accepted.plan().steps(0) : std::string();
  };
  request.mutable_update_mask()->set_paths(0, "labels");
  EXPECT_EQ(steps(), "take all labels from VM web");
  EXPECT_TRUE(world.vm().meta().labels().empty());
  EXPECT_EQ(world.vm().spec().memory_mib(), 1024U);
  EXPECT_EQ(steps(), "nothing: VM web is as asked");
  request.mutable_update_mask()->set_paths(0, "stop_timeout_seconds");
  request.set_stop_timeout_seconds(90);
  EXPECT_EQ(steps(), "let stops of VM web wait 90 s for its guest");
  request.set_stop_timeout_seconds(0);
  EXPECT_EQ(steps(), "let stops of VM web wait the usual time for its guest");
  EXPECT_EQ(world.vm().spec().stop_timeout_seconds(), 0U);
  v1::UpdateHostRequest host;
  host.set_id(kHostId);
  EXPECT_EQ(world.refused("UpdateHost", host), "invalid_field");
}

TEST(Changes, AChangedTaskIsNamedByItsIdAndAction) {
  World world;
  const std::string id = world.make_image_to_upload().task().meta().id();
  const auto answer = world.call("CancelTask", World::by_id(id), {.actor = "admin", .if_match = 1});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "revision_changed");
  EXPECT_EQ(answer.error().summary, "the task " + id + " (image.create) has changed");
}

}  // namespace
}  // namespace gantry::control
