// A VM's life, and everything else's, through the manager with a host that does as it is told.
#include <gmock/gmock.h>

#include "control/test_world.h"

namespace gantry::control {
namespace {

using testing::Contains;
using testing::HasSubstr;

TEST(Bootstrap, TheFirstHostBringsAPoolAndANetwork) {
  World world;
  const auto* host = world.find<v1::Host>(kHostId);
  ASSERT_NE(host, nullptr);
  EXPECT_EQ(host->meta().name(), "alpha-example");
  EXPECT_EQ(host->status().state(), v1::HostStatus::CONNECTED);
  EXPECT_EQ(host->status().cpus(), 8U);
  const auto* pool = world.find<v1::Pool>("default");
  ASSERT_NE(pool, nullptr);
  EXPECT_EQ(pool->status().state(), v1::PoolStatus::READY);
  const auto* network = world.find<v1::Network>("default");
  ASSERT_NE(network, nullptr);
  EXPECT_EQ(network->spec().ipv4_subnet(), "10.66.0.0/24");
  EXPECT_EQ(network->spec().bridge(), "gn-" + network->meta().id().substr(4));
}

TEST(Bootstrap, WhatWasDeletedStaysDeleted) {
  World world;
  EXPECT_EQ(world.ended(world.accept("DeleteNetwork", World::by_id("default"))).state(), v1::Task::SUCCEEDED);
  world.restart();
  world.executor.run_for(1000);
  EXPECT_EQ(world.find<v1::Network>("default"), nullptr);
}

TEST(Lifecycle, CreateMakesADiskAndStarts) {
  World world;
  EXPECT_EQ(world.make_image().state(), v1::Task::SUCCEEDED);
  const v1::Accepted accepted = world.accept("CreateVm", World::vm_request());
  EXPECT_EQ(accepted.plan().placement().host_id(), kHostId);
  EXPECT_THAT(accepted.plan().steps(),
              Contains(HasSubstr("make volume web-disk0 (2 GiB, qcow2, from image debian-12)")));
  const v1::Task task = world.ended(accepted);
  EXPECT_EQ(task.state(), v1::Task::SUCCEEDED) << task.ShortDebugString();
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(world.vm().status().boot_id(), task.meta().id());
  ASSERT_EQ(world.vm().spec().nics_size(), 1);
  EXPECT_EQ(world.vm().spec().nics(0).ipv4(), "10.66.0.2");
  EXPECT_THAT(world.vm().spec().nics(0).mac(), testing::StartsWith("52:54:00:"));
  const auto* volume = world.find<v1::Volume>("web-disk0");
  ASSERT_NE(volume, nullptr);
  EXPECT_EQ(volume->spec().owner_vm_id(), world.vm().meta().id());
}

TEST(Lifecycle, StopStartRestartPauseResumeReset) {
  World world;
  world.make_image();
  world.make_vm();
  const auto run = [&](const std::string& rpc) {
    v1::Task task = world.ended(world.accept(rpc, World::by_id("web")));
    EXPECT_EQ(task.state(), v1::Task::SUCCEEDED) << rpc << task.ShortDebugString();
    return task;
  };
  v1::StopVmRequest stop;
  stop.set_id("web");
  const auto run_stop = [&](const std::string& rpc) {
    v1::Task task = world.ended(world.accept(rpc, stop));
    EXPECT_EQ(task.state(), v1::Task::SUCCEEDED) << rpc << task.ShortDebugString();
    return task;
  };
  run("PauseVm");
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::PAUSED);
  EXPECT_EQ(world.refused("StartVm", World::by_id("web")), "vm_paused");
  run("ResumeVm");
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::RUNNING);
  EXPECT_EQ(world.vm().status().reset_id(), "");
  const v1::Task reset = run("ResetVm");
  EXPECT_EQ(world.vm().status().reset_id(), reset.meta().id());
  run_stop("StopVm");
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::STOPPED);
  EXPECT_EQ(world.refused("PauseVm", World::by_id("web")), "vm_not_running");
  EXPECT_EQ(world.refused("ResetVm", World::by_id("web")), "vm_not_running");
  const v1::Task start = run("StartVm");
  EXPECT_EQ(world.vm().status().boot_id(), start.meta().id());
  const v1::Task restart = run_stop("RestartVm");
  EXPECT_EQ(world.vm().status().boot_id(), restart.meta().id());
  stop.set_force(true);
  const v1::Task forced = run_stop("StopVm");
  EXPECT_EQ(world.vm().spec().force_stop_id(), forced.meta().id());
}

TEST(Lifecycle, AForcedRestartForcesNoLaterStop) {
  World world;
  world.make_image();
  world.make_vm();
  v1::StopVmRequest stop;
  stop.set_id("web");
  stop.set_force(true);
  EXPECT_EQ(world.ended(world.accept("RestartVm", stop)).state(), v1::Task::SUCCEEDED);
  stop.set_force(false);
  EXPECT_EQ(world.ended(world.accept("StopVm", stop)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm().spec().force_stop_id(), "");
}

TEST(Lifecycle, AGentleStopDoesNotSoftenAForcedOne) {
  World world;
  world.make_image();
  world.make_vm();
  world.host.disconnect();
  v1::StopVmRequest stop;
  stop.set_id("web");
  stop.set_force(true);
  const v1::Accepted forced = world.accept("StopVm", stop);
  stop.set_force(false);
  world.accept("StopVm", stop);
  EXPECT_EQ(world.vm().spec().force_stop_id(), forced.task().meta().id());
}

TEST(Lifecycle, AVolumeThatCouldNotGrowMayBeGrownAgain) {
  World world;
  const v1::CreateVolumeRequest volume = World::volume_request();
  EXPECT_EQ(world.ended(world.accept("CreateVolume", volume)).state(), v1::Task::SUCCEEDED);
  world.host.volume_bytes_max = 1ULL << 30U;
  v1::ResizeVolumeRequest grow;
  grow.set_id("data");
  grow.set_capacity_bytes(3ULL << 30U);
  for (int i = 0; i < 2; ++i) {
    const v1::Task task = world.ended(world.accept("ResizeVolume", grow));
    EXPECT_EQ(task.state(), v1::Task::FAILED);
    EXPECT_EQ(task.problem().summary(), "the pool is full");
    EXPECT_EQ(world.find<v1::Volume>("data")->status().state(), v1::VolumeStatus::READY);
  }
  // The host may still be about to do what it could not before: less would then be a shrink.
  grow.set_capacity_bytes(2ULL << 30U);
  EXPECT_EQ(world.refused("ResizeVolume", grow), "cannot_shrink");
  world.host.volume_bytes_max = 4ULL << 30U;
  grow.set_capacity_bytes(3ULL << 30U);
  EXPECT_EQ(world.ended(world.accept("ResizeVolume", grow)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Volume>("data")->status().capacity_bytes(), 3ULL << 30U);
}

TEST(Lifecycle, AResumeOfAGuestThatItsDiskHoldsFailsWithThatProblem) {
  World world;
  world.make_image();
  world.make_vm();
  world.host.asleep = true;
  v1::Observation observation;
  observation.set_id(world.vm().meta().id());
  *observation.mutable_vm() = world.vm().status();
  observation.mutable_vm()->set_state(v1::VmStatus::PAUSED);
  observation.mutable_vm()->mutable_problem()->set_code("disk_full");
  world.host.say(observation);
  world.executor.run_for(1'000);
  const v1::Accepted accepted = world.accept("ResumeVm", World::by_id("web"));
  // Being tried.
  observation.mutable_vm()->set_observed_generation(world.vm().meta().generation());
  observation.mutable_vm()->set_waiting_for("the hypervisor");
  world.host.say(observation);
  world.executor.run_for(5'000);
  EXPECT_EQ(world.task(accepted.task().meta().id()).state(), v1::Task::RUNNING);
  observation.mutable_vm()->clear_waiting_for();
  world.host.say(observation);
  const v1::Task task = world.ended(accepted);
  EXPECT_EQ(task.state(), v1::Task::FAILED);
  EXPECT_EQ(task.problem().code(), "disk_full");
}

TEST(Lifecycle, StartingWhatRunsSucceedsAtOnceAndStartsNothing) {
  World world;
  world.make_image();
  world.make_vm();
  const auto deeds = world.host.deeds;
  const v1::Accepted accepted = world.accept("StartVm", World::by_id("web"));
  EXPECT_EQ(accepted.task().state(), v1::Task::SUCCEEDED);
  EXPECT_THAT(accepted.plan().steps(0), HasSubstr("nothing"));
  world.executor.run_for(30'000);
  EXPECT_EQ(world.host.deeds, deeds);
}

TEST(Lifecycle, DeleteTakesTheVmThenItsOwnVolumes) {
  World world;
  world.make_image();
  const v1::CreateVolumeRequest volume = World::volume_request();
  EXPECT_EQ(world.ended(world.accept("CreateVolume", volume)).state(), v1::Task::SUCCEEDED);
  v1::CreateVmRequest request = World::vm_request();
  request.mutable_spec()->add_disks()->set_volume("data");
  EXPECT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.refused("DeleteVolume", World::by_id("data")), "volume_in_use");
  EXPECT_EQ(world.refused("DeleteImage", World::by_id("debian-12")), "image_in_use");
  EXPECT_EQ(world.refused("DeleteNetwork", World::by_id("default")), "network_in_use");
  EXPECT_EQ(world.refused("DeletePool", World::by_id("default")), "pool_not_empty");
  const std::string vm_id = world.vm().meta().id();
  v1::DeleteVmRequest remove;
  remove.set_id("web");
  EXPECT_EQ(world.ended(world.accept("DeleteVm", remove)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Vm>("web"), nullptr);
  EXPECT_EQ(world.find<v1::Volume>("web-disk0"), nullptr);
  EXPECT_FALSE(world.host.runs(vm_id));
  ASSERT_NE(world.find<v1::Volume>("data"), nullptr);
  EXPECT_EQ(world.core->view().reserved_mib(kHostId), 0U);
  for (const char* name : {"data"}) {
    EXPECT_EQ(world.ended(world.accept("DeleteVolume", World::by_id(name))).state(), v1::Task::SUCCEEDED);
  }
  EXPECT_EQ(world.ended(world.accept("DeleteImage", World::by_id("debian-12"))).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.ended(world.accept("DeletePool", World::by_id("default"))).state(), v1::Task::SUCCEEDED);
  // Nothing but names of what is left remains.
  for (const auto& [key, entry] : world.store.entries()) {
    EXPECT_EQ(key.find("web"), std::string::npos) << key;
    EXPECT_EQ(key.find("/volume/"), std::string::npos) << key;
  }
}

TEST(Lifecycle, KeptVolumesStandAlone) {
  World world;
  world.make_image();
  world.make_vm();
  v1::DeleteVmRequest remove;
  remove.set_id("web");
  remove.set_keep_volumes(true);
  EXPECT_EQ(world.ended(world.accept("DeleteVm", remove)).state(), v1::Task::SUCCEEDED);
  const auto* volume = world.find<v1::Volume>("web-disk0");
  ASSERT_NE(volume, nullptr);
  EXPECT_EQ(volume->spec().owner_vm_id(), "");
  EXPECT_EQ(world.make_vm().state(), v1::Task::SUCCEEDED);
  EXPECT_NE(world.find<v1::Volume>("web-disk0-2"), nullptr);
}

TEST(Lifecycle, AFailedStartFailsItsTaskAndStaysVisible) {
  World world;
  world.make_image();
  world.host.problems["web"].set_summary("no room on disk");
  const v1::Task task = world.make_vm();
  EXPECT_EQ(task.state(), v1::Task::FAILED);
  EXPECT_EQ(task.problem().summary(), "no room on disk");
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::FAILED);
  world.host.problems.clear();
  EXPECT_EQ(world.ended(world.accept("StartVm", World::by_id("web"))).state(), v1::Task::SUCCEEDED);
}

TEST(Lifecycle, AGuestThatPoweredOffIsStartedAnewOnlyWhenAsked) {
  World world;
  world.make_image();
  world.make_vm();
  world.host.guest_ends(world.vm().meta().id());
  world.host.connect();
  world.executor.run_for(30'000);
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::STOPPED);
  EXPECT_FALSE(world.host.runs(world.vm().meta().id()));
  EXPECT_EQ(world.ended(world.accept("StartVm", World::by_id("web"))).state(), v1::Task::SUCCEEDED);
  EXPECT_TRUE(world.host.runs(world.vm().meta().id()));
}

TEST(Tasks, ALaterOperationTakesTheEarliersPlace) {
  World world;
  world.make_image();
  world.host.asleep = true;
  const v1::Accepted create = world.accept("CreateVm", World::vm_request());
  v1::StopVmRequest stop;
  stop.set_id("web");
  const v1::Accepted stopped = world.accept("StopVm", stop);
  world.executor.run_for(100);
  EXPECT_EQ(world.task(create.task().meta().id()).state(), v1::Task::CANCELLED);
  world.host.asleep = false;
  EXPECT_EQ(world.ended(stopped).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm().status().state(), v1::VmStatus::STOPPED);
}

TEST(Tasks, CancellingACreateTakesEverythingBack) {
  World world;
  world.make_image();
  world.host.asleep = true;
  const v1::Accepted create = world.accept("CreateVm", World::vm_request());
  ASSERT_TRUE(world.call("CancelTask", World::by_id(create.task().meta().id())));
  ASSERT_TRUE(world.call("CancelTask", World::by_id(create.task().meta().id())));
  EXPECT_FALSE(model::is_ended(world.task(create.task().meta().id()).state()));
  world.host.asleep = false;
  EXPECT_EQ(world.ended(create).state(), v1::Task::CANCELLED);
  EXPECT_EQ(world.find<v1::Vm>("web"), nullptr);
  EXPECT_EQ(world.find<v1::Volume>("web-disk0"), nullptr);
  EXPECT_EQ(world.refused("CancelTask", World::by_id(create.task().meta().id())), "");
}

TEST(Tasks, WhatCameToBeUsedIsNotTakenBack) {
  World world;
  world.host.asleep = true;
  const v1::Accepted made = world.accept("CreateImage", World::image_request());
  const v1::Accepted vm = world.accept("CreateVm", World::vm_request());
  EXPECT_EQ(world.refused("CancelTask", World::by_id(made.task().meta().id())), "in_use");
  ASSERT_TRUE(world.call("CancelTask", World::by_id(vm.task().meta().id())));
  world.host.asleep = false;
  EXPECT_EQ(world.ended(vm).state(), v1::Task::CANCELLED);
  EXPECT_EQ(world.ended(made).state(), v1::Task::SUCCEEDED);
}

TEST(Tasks, CancellingAStopLetsTheGuestRun) {
  World world;
  world.make_image();
  world.make_vm();
  world.host.asleep = true;
  v1::StopVmRequest stop;
  stop.set_id("web");
  const v1::Accepted stopped = world.accept("StopVm", stop);
  ASSERT_TRUE(world.call("CancelTask", World::by_id(stopped.task().meta().id())));
  EXPECT_EQ(world.ended(stopped).state(), v1::Task::CANCELLED);
  world.host.asleep = false;
  world.executor.run_for(20'000);
  EXPECT_TRUE(world.host.runs(world.vm().meta().id()));
  v1::StopVmRequest request;
  request.set_id("web");
  const v1::Accepted again = world.accept("StopVm", request);
  world.ended(again);
  EXPECT_EQ(world.refused("CancelTask", World::by_id(again.task().meta().id())), "task_ended");
}

TEST(Tasks, CancellingAStopStartsNothingThatWasNeverStarted) {
  World world;
  world.make_image();
  world.host.asleep = true;
  v1::CreateVmRequest request = World::vm_request();
  request.mutable_spec()->set_power(v1::VmSpec::STOPPED);
  world.accept("CreateVm", request);
  v1::StopVmRequest stop;
  stop.set_id("web");
  const v1::Accepted stopped = world.accept("StopVm", stop);
  ASSERT_TRUE(world.call("CancelTask", World::by_id(stopped.task().meta().id())));
  EXPECT_EQ(world.vm().spec().power(), v1::VmSpec::STOPPED);
}

TEST(Tasks, CancellingAResetRepeatsNoEarlierOne) {
  World world;
  world.make_image();
  world.make_vm();
  world.ended(world.accept("ResetVm", World::by_id("web")));
  world.host.asleep = true;
  const v1::Accepted second = world.accept("ResetVm", World::by_id("web"));
  ASSERT_TRUE(world.call("CancelTask", World::by_id(second.task().meta().id())));
  EXPECT_EQ(world.vm().spec().reset_id(), "");
}

TEST(Tasks, ARestartCannotBeTakenBack) {
  World world;
  world.make_image();
  world.make_vm();
  world.host.asleep = true;
  v1::StopVmRequest request;
  request.set_id("web");
  const v1::Accepted restart = world.accept("RestartVm", request);
  EXPECT_EQ(world.refused("CancelTask", World::by_id(restart.task().meta().id())), "cannot_cancel");
}

TEST(Tasks, ADeletionCannotBeTakenBack) {
  World world;
  world.host.asleep = true;
  const v1::Accepted accepted = world.accept("DeleteNetwork", World::by_id("default"));
  EXPECT_EQ(world.refused("CancelTask", World::by_id(accepted.task().meta().id())), "cannot_cancel");
  EXPECT_EQ(world.refused("DeleteNetwork", World::by_id("default")), "deleting");
}

TEST(Tasks, OldOnesAreForgotten) {
  World world;
  world.core.reset();
  world.options.ended_tasks_max = 5;
  world.restart();
  world.executor.run_for(100);
  v1::UpdateHostRequest request;
  request.set_id(kHostId);
  request.mutable_update_mask()->add_paths("cordoned");
  for (int i = 0; i < 20; ++i) {
    request.set_cordoned(i % 2 == 0);
    world.accept("UpdateHost", request, {.actor = "admin", .idempotency_key = "key-" + std::to_string(i)});
  }
  EXPECT_EQ(world.core->view().ended_tasks(), 20U);
  EXPECT_EQ(world.core->view().idempotency_keys().size(), 20U);
  world.executor.run_for(130'000);
  EXPECT_EQ(world.core->view().ended_tasks(), 5U);
  // Keys are kept for a day all the same: a repeat is never a second change.
  EXPECT_EQ(world.core->view().idempotency_keys().size(), 20U);
  request.set_cordoned(true);
  EXPECT_EQ(world.refused("UpdateHost", request, {.actor = "admin", .idempotency_key = "key-0"}), "task_forgotten");
  EXPECT_EQ(world.refused("UpdateHost", request, {.actor = "admin", .idempotency_key = "key-1"}),
            "idempotency_key_reused");
  EXPECT_EQ(world.core->view().ended_tasks(), 5U);
  world.executor.run_for(23LL * 3600 * 1000);
  EXPECT_EQ(world.core->view().idempotency_keys().size(), 20U);
  world.executor.run_for(2LL * 3600 * 1000);
  EXPECT_EQ(world.core->view().idempotency_keys().size(), 0U);
  EXPECT_EQ(world.refused("UpdateHost", request, {.actor = "admin", .idempotency_key = "key-0"}), "");
}

TEST(Tasks, OldOnesAreForgottenAsFastAsNewOnesCome) {
  World world;
  world.core.reset();
  world.options.ended_tasks_max = 5;
  world.options.idempotency_keys_max = 5;
  world.restart();
  world.executor.run_for(100);
  v1::UpdateHostRequest request;
  request.set_id(kHostId);
  request.mutable_update_mask()->add_paths("cordoned");
  std::size_t most = 0;
  const Milliseconds began_ms = world.executor.now().monotonic_ms;
  for (int i = 0; i < 1'000; ++i) {
    request.set_cordoned(i % 2 == 0);
    world.accept("UpdateHost", request, {.actor = "admin", .idempotency_key = "key-" + std::to_string(i)});
    most = std::max(most, world.core->view().ended_tasks());
  }
  // Before it is looked after now and then.
  ASSERT_LT(world.executor.now().monotonic_ms - began_ms, 55'000);
  EXPECT_LE(most, 220U);
  EXPECT_LE(world.core->view().idempotency_keys().size(), 220U);
  EXPECT_EQ(world.core->view().idempotency_keys().count(model::idempotency_key("admin", "key-999")), 1U);
}

TEST(Tasks, CancellingCanBePlanned) {
  World world;
  world.make_image();
  world.make_vm();
  world.host.asleep = true;
  v1::StopVmRequest stop;
  stop.set_id("web");
  const v1::Accepted stopped = world.accept("StopVm", stop);
  const v1::ById task = World::by_id(stopped.task().meta().id());
  const v1::Accepted plan = world.accept("CancelTask", task, {.actor = "admin", .dry_run = true});
  EXPECT_FALSE(plan.has_task());
  EXPECT_EQ(plan.plan().steps_size(), 1);
  EXPECT_EQ(world.vm().spec().power(), v1::VmSpec::STOPPED);
  world.host.asleep = false;
  EXPECT_EQ(world.ended(stopped).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.refused("CancelTask", task, {.actor = "admin", .dry_run = true}), "task_ended");
}

TEST(Vms, AStopsTimeoutIsOfThatStopAlone) {
  World world;
  world.make_image();
  world.make_vm();
  v1::UpdateVmRequest own;
  own.set_id("web");
  own.set_stop_timeout_seconds(90);
  world.accept("UpdateVm", own);
  v1::StopVmRequest stop;
  stop.set_id("web");
  stop.set_timeout_seconds(7);
  world.ended(world.accept("StopVm", stop));
  EXPECT_EQ(world.vm().spec().stop_once_timeout_seconds(), 7U);
  EXPECT_EQ(world.vm().spec().stop_timeout_seconds(), 90U);
  world.ended(world.accept("StartVm", World::by_id("web")));
  EXPECT_EQ(world.vm().spec().stop_once_timeout_seconds(), 0U);
  world.ended(world.accept("RestartVm", stop));
  EXPECT_EQ(world.vm().spec().stop_once_timeout_seconds(), 7U);
  stop.clear_timeout_seconds();
  world.ended(world.accept("StopVm", stop));
  EXPECT_EQ(world.vm().spec().stop_once_timeout_seconds(), 0U);
  EXPECT_EQ(world.vm().spec().stop_timeout_seconds(), 90U);
}

TEST(Volumes, GrowWhileTheirVmIsStopped) {
  World world;
  world.make_image();
  world.make_vm();
  v1::ResizeVolumeRequest grow;
  grow.set_id("web-disk0");
  grow.set_capacity_bytes(4ULL << 30U);
  EXPECT_EQ(world.refused("ResizeVolume", grow), "volume_in_use");
  v1::StopVmRequest stop;
  stop.set_id("web");
  world.ended(world.accept("StopVm", stop));
  EXPECT_EQ(world.ended(world.accept("ResizeVolume", grow)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Volume>("web-disk0")->status().capacity_bytes(), 4ULL << 30U);
  grow.set_capacity_bytes(1ULL << 30U);
  EXPECT_EQ(world.refused("ResizeVolume", grow), "cannot_shrink");
}

TEST(Volumes, OneThatCannotBeMadeFailsItsTask) {
  World world;
  const v1::CreateVolumeRequest request = World::volume_request();
  world.host.problems["data"].set_summary("the disk is full");
  const v1::Task task = world.ended(world.accept("CreateVolume", request));
  EXPECT_EQ(task.state(), v1::Task::FAILED);
  EXPECT_EQ(task.problem().summary(), "the disk is full");
}

TEST(Hosts, AreLostAndFoundAgain) {
  World world;
  world.executor.run_for(20'000);
  world.host.disconnect();
  world.executor.run_for(100);
  EXPECT_EQ(world.find<v1::Host>(kHostId)->status().state(), v1::HostStatus::LOST);
  world.make_image("other");
  world.host.connect();
  world.executor.run_for(100);
  EXPECT_EQ(world.find<v1::Host>(kHostId)->status().state(), v1::HostStatus::CONNECTED);
  EXPECT_EQ(world.find<v1::Image>("other")->status().state(), v1::ImageStatus::READY);
}

// Hosts say since when by their own clocks.
TEST(Lifecycle, APauseThatFailsEndsWhateverDateItsHostHas) {
  World world;
  world.make_image();
  world.make_vm();
  world.host.asleep = true;
  const v1::Accepted pause = world.accept("PauseVm", World::by_id("web"));
  v1::Observation trouble;
  trouble.set_id(world.vm().meta().id());
  *trouble.mutable_vm() = world.vm().status();
  trouble.mutable_vm()->set_observed_generation(world.vm().meta().generation());
  v1::Problem& problem = *trouble.mutable_vm()->mutable_problem();
  problem.set_summary("QEMU does not answer");
  set_time(*problem.mutable_since(), world.executor.now().unix_ms + 3'600'000);
  for (int n = 0; n < 5; ++n) {
    trouble.mutable_vm()->set_waiting_for("try " + std::to_string(n));
    world.host.say(trouble);
    world.executor.run_for(30'000);
  }
  EXPECT_EQ(world.ended(pause).state(), v1::Task::FAILED);
}

}  // namespace
}  // namespace gantry::control
