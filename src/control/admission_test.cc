// What is refused and why, and what is chosen for what was left open.
#include "control/admission.h"

#include <gmock/gmock.h>

#include "control/draft.h"
#include "control/subnets.h"
#include "control/test_world.h"

namespace gantry::control {
namespace {

using testing::HasSubstr;

v1::CreateVolumeRequest volume_request(const std::string& name, std::uint64_t capacity_bytes) {
  v1::CreateVolumeRequest request;
  request.set_name(name);
  request.mutable_spec()->set_capacity_bytes(capacity_bytes);
  return request;
}

TEST(Admission, IsAFunctionOfItsInputs) {
  World world;
  world.make_image();
  const v1::CreateVmRequest request = World::vm_request();
  const port::CallOptions options{.actor = "admin"};
  std::vector<std::string> bytes;
  for (int i = 0; i < 2; ++i) {
    Rng rng(42);
    auto admitted = admit("CreateVm", request, options, world.core->view(), world.executor.now(), rng);
    ASSERT_TRUE(admitted);
    std::string all;
    for (const port::Write& write : admitted->txn.writes) all += write.key + "=" + write.value + "\n";
    for (const port::Compare& compare : admitted->txn.compares) all += compare.key + std::to_string(compare.modified);
    bytes.push_back(all);
  }
  EXPECT_EQ(bytes[0], bytes[1]);
}

TEST(Admission, AnUnknownRecipeIsRefusedBeforeThereIsAnImage) {
  World world;
  v1::CreateImageRequest request = World::image_request("debian-13");
  request.mutable_spec()->set_recipe("debian-13");
  for (const bool dry_run : {true, false}) {
    const auto answer = world.call("CreateImage", request, {.actor = "admin", .dry_run = dry_run});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().word(), "no_such_recipe");
    EXPECT_THAT(answer.error().cause, HasSubstr("debian-12"));
  }
  EXPECT_EQ(world.find<v1::Image>("debian-13"), nullptr);
  // The name is free.
  EXPECT_EQ(world.make_image("debian-13").state(), v1::Task::SUCCEEDED);
}

TEST(Admission, ADryRunShowsThePlanAndWritesNothing) {
  World world;
  world.make_image();
  const auto commits = world.store.commits;
  const v1::Accepted plan = world.accept("CreateVm", World::vm_request(), {.actor = "admin", .dry_run = true});
  EXPECT_FALSE(plan.has_task());
  EXPECT_EQ(plan.plan().placement().host_id(), kHostId);
  EXPECT_GE(plan.plan().steps_size(), 3);
  world.executor.run_for(20'000);
  EXPECT_EQ(world.store.commits, commits);
}

TEST(Admission, InvalidRequestsNameTheField) {
  World world;
  v1::CreateVmRequest request = World::vm_request();
  request.mutable_spec()->set_cpus(9999);
  const auto answer = world.call("CreateVm", request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(answer.error().summary, HasSubstr("spec.cpus"));
}

TEST(Admission, WhatIsNotThereIsNotFound) {
  World world;
  EXPECT_EQ(world.refused("CreateVm", World::vm_request()), "not_found");
  for (const char* rpc : {"StartVm", "ResetVm", "PauseVm", "ResumeVm", "DeleteVolume", "DeleteImage", "DeleteNetwork",
                          "DeletePool", "CancelTask", "UploadImage", "GetVm", "GetTask"}) {
    EXPECT_EQ(world.refused(rpc, World::by_id("nothing")), "not_found") << rpc;
  }
  EXPECT_EQ(world.refused("Login", v1::LoginRequest()), "unsupported");
}

TEST(Admission, AChosenSegmentIsNoneOfTheHostsOwn) {
  View view;
  const auto set = [&view](const std::vector<std::string>& texts) {
    view.host_subnets.clear();
    for (const auto& text : texts) view.host_subnets.push_back({model::parse_ipv4_subnet(text).value(), "eth0"});
  };
  set({"10.66.0.0/24", "10.66.2.128/25"});
  EXPECT_EQ(choose_subnet(view, "").value(), "10.66.1.0/24");
  set({"10.66.0.0/23"});
  EXPECT_EQ(choose_subnet(view, "").value(), "10.66.2.0/24");
  set({"10.0.0.0/8"});
  EXPECT_EQ(choose_subnet(view, "").value(), "172.29.0.0/24");
  set({"10.0.0.0/8", "172.16.0.0/12", "192.168.255.0/24"});
  EXPECT_EQ(choose_subnet(view, "").value(), "192.168.254.0/24");
  // Who names one is told by the host what is in its way.
  EXPECT_EQ(choose_subnet(view, "10.66.0.0/24").value(), "10.66.0.0/24");
  set({"0.0.0.0/0"});
  EXPECT_EQ(choose_subnet(view, "").error().word(), "subnet_in_use");
}

TEST(Admission, NamesAreUnique) {
  World world;
  world.make_image();
  world.make_vm();
  EXPECT_EQ(world.refused("CreateVm", World::vm_request()), "already_exists");
}

TEST(Admission, IfMatchHoldsTheRecordStill) {
  World world;
  world.make_image();
  world.make_vm();
  const std::uint64_t revision = world.vm().meta().revision();
  EXPECT_EQ(world.refused("PauseVm", World::by_id("web"), {.actor = "a", .if_match = revision + 7}),
            "revision_changed");
  EXPECT_EQ(world.refused("PauseVm", World::by_id("web"), {.actor = "a", .if_match = revision}), "");
}

TEST(Admission, AnIdempotencyKeyGivesTheSameTaskAgain) {
  World world;
  world.make_image();
  const port::CallOptions options{.actor = "admin", .idempotency_key = "k1"};
  const v1::Accepted first = world.accept("CreateVm", World::vm_request(), options);
  world.ended(first);
  const v1::Accepted again = world.accept("CreateVm", World::vm_request(), options);
  EXPECT_EQ(again.task().meta().id(), first.task().meta().id());
  EXPECT_EQ(again.task().state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.refused("CreateVm", World::vm_request("other"), options), "idempotency_key_reused");
  EXPECT_EQ(world.refused("CreateVm", World::vm_request("other"), {.actor = "bob", .idempotency_key = "k1"}), "");
  EXPECT_EQ(world.refused("CreateVm", World::vm_request("third"), {.actor = "bob", .idempotency_key = "a/b"}),
            "invalid_field");
}

TEST(Admission, MemoryIsNeverPromisedTwice) {
  World world;
  world.make_image();
  v1::CreateVmRequest request = World::vm_request("a");
  request.mutable_spec()->set_memory_mib(4000);
  EXPECT_EQ(world.refused("CreateVm", request), "");
  request.set_name("b");
  const auto answer = world.call("CreateVm", request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "no_host_fits");
  EXPECT_THAT(answer.error().cause, HasSubstr("left to promise"));
  request.mutable_spec()->set_power(v1::VmSpec::STOPPED);
  request.mutable_spec()->set_memory_mib(3000);
  EXPECT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  request.set_name("c");
  request.mutable_spec()->set_power(v1::VmSpec::RUNNING);
  EXPECT_EQ(world.refused("CreateVm", request), "");
  EXPECT_EQ(world.refused("StartVm", World::by_id("b")), "no_host_fits");
}

// It counts as if it had its memory until its host has seen the change; others may have it by then.
TEST(Admission, AStoppedVmThatWasJustChangedStartsOnlyWhereThereIsRoom) {
  World world;
  world.make_image();
  v1::CreateVmRequest request = World::vm_request("small");
  request.mutable_spec()->set_power(v1::VmSpec::STOPPED);
  ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  request.set_name("large");
  request.mutable_spec()->set_power(v1::VmSpec::RUNNING);
  request.mutable_spec()->set_memory_mib(7'500);
  ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  world.host.asleep = true;
  v1::UpdateVmRequest smaller;
  smaller.set_id("small");
  smaller.set_memory_mib(512);
  smaller.mutable_update_mask()->add_paths("memory_mib");
  world.accept("UpdateVm", smaller);
  EXPECT_EQ(world.refused("StartVm", World::by_id("small")), "no_host_fits");
  EXPECT_EQ(world.refused("RestartVm",
                          [] {
                            v1::StopVmRequest restart;
                            restart.set_id("small");
                            return restart;
                          }()),
            "no_host_fits");
}

// Until its host says that it is gone: its guest may be hard to end.
TEST(Admission, AVmThatIsBeingDeletedHoldsItsMemory) {
  World world;
  world.make_image();
  v1::CreateVmRequest request = World::vm_request();
  request.mutable_spec()->set_memory_mib(7'500);
  ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  world.host.asleep = true;
  world.accept("StopVm", World::stop_request());
  v1::DeleteVmRequest remove;
  remove.set_id("web");
  world.accept("DeleteVm", remove);
  v1::Observation deleting;
  deleting.set_id(world.vm().meta().id());
  *deleting.mutable_vm() = world.vm().status();
  deleting.mutable_vm()->set_state(v1::VmStatus::DELETING);
  deleting.mutable_vm()->set_observed_generation(world.vm().meta().generation());
  world.host.say(deleting);
  world.executor.run_for(500);
  EXPECT_EQ(world.refused("CreateVm", World::vm_request("next")), "no_host_fits");
}

// "web" and all that is its own are being deleted, which failed for now: that can be asked for once more.
v1::DeleteVmRequest delete_in_vain(World& world) {
  world.host.asleep = true;
  v1::DeleteVmRequest request;
  request.set_id("web");
  const auto first = world.accept("DeleteVm", request);
  v1::Observation stuck;
  stuck.set_id(world.vm().meta().id());
  *stuck.mutable_vm() = world.vm().status();
  stuck.mutable_vm()->set_state(v1::VmStatus::FAILED);
  stuck.mutable_vm()->set_failed_operation_id(first.task().meta().id());
  world.host.say(stuck);
  EXPECT_EQ(world.ended(first).state(), v1::Task::FAILED);
  return request;
}

TEST(Admission, NoVolumeIsKeptWhoseImageGoes) {
  World world;
  world.make_image();
  world.make_vm();
  v1::DeleteVmRequest request = delete_in_vain(world);
  world.accept("DeleteImage", World::by_id("debian-12"));
  request.set_keep_volumes(true);
  EXPECT_EQ(world.refused("DeleteVm", request), "deleting");
  Draft gone(world.core->view());
  gone.erase<v1::Image>(world.vm().spec().image());
  ASSERT_EQ(world.store.write(gone.build()).outcome, port::CommitOutcome::committed);
  world.executor.run_for(1'000);
  EXPECT_EQ(world.refused("DeleteVm", request), "deleting");
  request.set_keep_volumes(false);
  EXPECT_EQ(world.refused("DeleteVm", request), "");
}

// Its host was taken leave of meanwhile, and with it its pools.
TEST(Admission, NoVolumeIsKeptWhosePoolGoes) {
  World world;
  world.make_image();
  world.make_vm();
  v1::DeleteVmRequest request = delete_in_vain(world);
  Draft leaving(world.core->view());
  const std::string pool_id = world.find<v1::Volume>("web-disk0")->spec().pool();
  leaving.edit<v1::Pool>(pool_id).mutable_meta()->mutable_deletion()->set_task_id("task-9");
  ASSERT_EQ(world.store.write(leaving.build()).outcome, port::CommitOutcome::committed);
  world.executor.run_for(1'000);
  request.set_keep_volumes(true);
  EXPECT_EQ(world.refused("DeleteVm", request), "deleting");
  request.set_keep_volumes(false);
  EXPECT_EQ(world.refused("DeleteVm", request), "");
}

TEST(Admission, AStoppedVmThatWasJustMadeTooLargeDoesNotStart) {
  World world;
  world.make_image();
  v1::CreateVmRequest request = World::vm_request();
  request.mutable_spec()->set_power(v1::VmSpec::STOPPED);
  ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  v1::UpdateVmRequest larger;
  larger.set_id("web");
  larger.set_memory_mib(500 * 1024);
  world.host.asleep = true;
  world.accept("UpdateVm", larger);
  EXPECT_EQ(world.refused("StartVm", World::by_id("web")), "no_host_fits");
  EXPECT_EQ(world.refused("RestartVm", World::stop_request()), "no_host_fits");
}

TEST(Admission, ACordonedHostTakesNoNewGuests) {
  World world;
  world.make_image();
  v1::UpdateHostRequest request;
  request.set_id("alpha-example");
  request.set_cordoned(true);
  EXPECT_EQ(world.accept("UpdateHost", request).task().state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.refused("CreateVm", World::vm_request()), "no_host_fits");
}

TEST(Admission, APoolPromisesNoMoreThanItsOvercommit) {
  World world;
  EXPECT_EQ(world.refused("CreateVolume", volume_request("a", 150ULL << 30U)), "");
  EXPECT_EQ(world.refused("CreateVolume", volume_request("b", 51ULL << 30U)), "pool_full");
  EXPECT_EQ(world.refused("CreateVolume", volume_request("b", 50ULL << 30U)), "");
}

TEST(Admission, AVolumeServesOneVm) {
  World world;
  world.ended(world.accept("CreateVolume", volume_request("data", 1ULL << 30U)));
  v1::CreateVmRequest request;
  request.set_name("a");
  request.mutable_spec()->add_disks()->set_volume("data");
  EXPECT_EQ(world.refused("CreateVm", request), "");
  request.set_name("b");
  EXPECT_EQ(world.refused("CreateVm", request), "volume_in_use");
}

TEST(Admission, ARootDiskAskedInFullIsTheOnlyOne) {
  World world;
  world.make_image();
  v1::CreateVmRequest request = World::vm_request();
  v1::NewVolume& create = *request.mutable_spec()->add_disks()->mutable_create();
  create.set_image("debian-12");
  create.set_capacity_bytes(20ULL << 30U);
  create.set_format("raw");
  request.mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1ULL << 30U);
  world.accept("CreateVm", request);
  ASSERT_EQ(world.vm().spec().disks_size(), 2);
  const auto* root = world.find<v1::Volume>(world.vm().spec().disks(0).volume());
  EXPECT_EQ(root->spec().capacity_bytes(), 20ULL << 30U);
  EXPECT_EQ(root->spec().format(), v1::VolumeSpec::RAW);
  EXPECT_NE(root->spec().pool(), "");
  EXPECT_EQ(world.vm().spec().lease_pool(), root->spec().pool());
  EXPECT_EQ(world.find<v1::Volume>("web-disk1")->spec().image(), "");
  create.set_capacity_bytes(1ULL << 30U);
  request.set_name("small");
  EXPECT_EQ(world.refused("CreateVm", request), "volume_too_small");
}

// The image's own disk and the default NIC are among them.
TEST(Admission, WhatOneMachineHasNoSlotForIsRefused) {
  World world;
  world.make_image();
  v1::CreateVmRequest request = World::vm_request();
  for (int i = 0; i < 23; ++i) {
    request.mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1ULL << 20U);
  }
  const auto answer = world.call("CreateVm", request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().word(), "invalid_field");
  EXPECT_THAT(answer.error().cause, HasSubstr("25 disks and NICs together are more than the 24"));
  request.mutable_spec()->mutable_disks()->RemoveLast();
  world.accept("CreateVm", request);
  EXPECT_EQ(world.vm().spec().disks_size() + world.vm().spec().nics_size(), 24);
}

TEST(Admission, AKernelImageNeedsNoDisk) {
  World world;
  v1::CreateImageRequest image;
  image.set_name("tiny");
  image.mutable_spec()->set_kind(v1::ImageSpec::KERNEL);
  image.mutable_spec()->set_upload(true);
  world.ended(world.accept("CreateImage", image));
  v1::CreateVmRequest request = World::vm_request();
  request.mutable_spec()->set_image("tiny");
  EXPECT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm().spec().disks_size(), 0);
  EXPECT_EQ(world.vm().spec().lease_pool(), world.find<v1::Image>("tiny")->spec().pool());
  EXPECT_EQ(world.refused("DeleteImage", World::by_id("tiny")), "image_in_use");
  request.set_name("b");
  request.mutable_spec()->clear_image();
  request.mutable_spec()->add_disks()->mutable_create()->set_image("tiny");
  EXPECT_EQ(world.refused("CreateVm", request), "invalid_argument");
}

TEST(Admission, AVmWaitsForAnImageBeingImported) {
  World world;
  world.host.asleep = true;
  world.accept("CreateImage", World::image_request());
  const v1::Accepted accepted = world.accept("CreateVm", World::vm_request());
  ASSERT_GE(accepted.plan().warnings_size(), 1);
  EXPECT_THAT(accepted.plan().warnings(0), HasSubstr("not ready yet"));
  world.host.asleep = false;
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
}

TEST(Admission, AFailedImageIsRefused) {
  World world;
  world.host.problems["debian-12"].set_summary("no mirror");
  EXPECT_EQ(world.make_image().state(), v1::Task::FAILED);
  EXPECT_EQ(world.refused("CreateVm", World::vm_request()), "image_failed");
}

TEST(Admission, PortsAreChosenFreeAndRefusedWhenTaken) {
  World world;
  world.make_image();
  v1::CreateVmRequest request = World::vm_request("a");
  v1::VmNic& nic = *request.mutable_spec()->add_nics();
  nic.add_port_forwards()->set_guest_port(22);
  nic.add_port_forwards()->set_guest_port(80);
  nic.add_port_forwards()->set_guest_port(53);
  nic.mutable_port_forwards(1)->set_host_port(20'000);
  nic.mutable_port_forwards(2)->set_protocol(v1::PortForward::UDP);
  world.accept("CreateVm", request);
  const v1::VmNic& given = world.vm("a").spec().nics(0);
  EXPECT_EQ(given.port_forwards(0).host_port(), 20'001U);
  EXPECT_EQ(given.port_forwards(0).host_address(), "127.0.0.1");
  EXPECT_EQ(given.port_forwards(2).host_port(), 20'000U);
  request.set_name("b");
  EXPECT_EQ(world.refused("CreateVm", request), "port_in_use");
  nic.mutable_port_forwards(1)->set_host_port(0);
  world.accept("CreateVm", request);
  EXPECT_EQ(world.vm("b").spec().nics(0).port_forwards(0).host_port(), 20'002U);
}

TEST(Admission, AddressesAreChosenFreeAndRefusedWhenTaken) {
  World world;
  world.make_image();
  v1::CreateVmRequest request = World::vm_request("a");
  request.mutable_spec()->add_nics();
  request.mutable_spec()->add_nics()->set_ipv4("10.66.0.2");
  request.mutable_spec()->mutable_nics(1)->set_mac("52:54:00:AA:BB:CC");
  world.accept("CreateVm", request);
  EXPECT_EQ(world.vm("a").spec().nics(0).ipv4(), "10.66.0.3");
  EXPECT_EQ(world.vm("a").spec().nics(1).mac(), "52:54:00:aa:bb:cc");
  request.set_name("b");
  EXPECT_EQ(world.refused("CreateVm", request), "mac_in_use");
  request.mutable_spec()->mutable_nics(1)->clear_mac();
  EXPECT_EQ(world.refused("CreateVm", request), "address_in_use");
  for (const char* address : {"10.66.0.1", "10.66.0.0", "10.66.0.255", "10.67.0.9"}) {
    request.mutable_spec()->mutable_nics(1)->set_ipv4(address);
    EXPECT_EQ(world.refused("CreateVm", request), "address_not_allowed") << address;
  }
}

TEST(Admission, NoNetworkWhenNoneIsAskedFor) {
  World world;
  world.make_image();
  v1::CreateVmRequest request = World::vm_request();
  request.mutable_spec()->add_nics()->set_network("none");
  world.accept("CreateVm", request);
  EXPECT_EQ(world.vm().spec().nics_size(), 0);
}

TEST(Admission, SegmentsAreChosenFree) {
  World world;
  v1::CreateNetworkRequest request;
  request.set_name("lan");
  EXPECT_EQ(world.ended(world.accept("CreateNetwork", request)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Network>("lan")->spec().ipv4_subnet(), "10.66.1.0/24");
  request.set_name("big");
  request.mutable_spec()->set_ipv4_subnet("10.66.0.0/16");
  EXPECT_EQ(world.refused("CreateNetwork", request), "subnet_in_use");
  request.mutable_spec()->set_ipv4_subnet("192.168.7.0/24");
  EXPECT_EQ(world.refused("CreateNetwork", request), "");
}

TEST(Admission, APoolsDirectoryIsItsOwn) {
  World world;
  v1::CreatePoolRequest request;
  request.set_name("fast");
  request.mutable_spec()->set_path(world.options.default_pool_path);
  EXPECT_EQ(world.refused("CreatePool", request), "path_in_use");
  request.mutable_spec()->set_path("/srv/fast");
  EXPECT_EQ(world.ended(world.accept("CreatePool", request)).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.find<v1::Pool>("fast")->spec().host_id(), kHostId);
}

TEST(Admission, UpdatesHoldFromTheNextStart) {
  World world;
  world.make_image();
  world.make_vm();
  v1::UpdateVmRequest request;
  request.set_id("web");
  request.set_cpus(4);
  (*request.mutable_labels())["tier"] = "front";
  EXPECT_EQ(world.accept("UpdateVm", request).task().state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.vm().spec().cpus(), 4U);
  EXPECT_EQ(world.vm().spec().memory_mib(), 1024U);
  EXPECT_EQ(world.vm().meta().labels().at("tier"), "front");
  request.set_memory_mib(512);
  EXPECT_EQ(world.refused("UpdateVm", request), "vm_running");
  request.set_memory_mib(100'000);
  EXPECT_EQ(world.refused("UpdateVm", request), "no_host_fits");
}

TEST(Admission, UploadsAreAnnouncedByANewGeneration) {
  World world;
  const v1::Accepted accepted = world.make_image_to_upload();
  const auto answer = world.call("UploadImage", World::by_id("mine"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(dynamic_cast<v1::Image&>(**answer).meta().generation(), 2U);
  world.host.asleep = false;
  EXPECT_EQ(world.ended(accepted).state(), v1::Task::SUCCEEDED);
  EXPECT_EQ(world.refused("UploadImage", World::by_id("mine")), "not_waiting_for_upload");
}

TEST(Admission, AnUploadIsTakenOnlyWhileTheImageWaitsForOne) {
  World world;
  world.make_image_to_upload();
  const v1::ById mine = World::by_id("mine");
  const auto tell = [&](v1::ImageStatus::State state, std::uint64_t generation, const std::string& path = {}) {
    v1::Observation observation;
    observation.set_id(world.find<v1::Image>("mine")->meta().id());
    observation.mutable_image()->set_state(state);
    observation.mutable_image()->set_observed_generation(generation);
    observation.mutable_image()->set_path(path);
    world.host.say(observation);
    world.executor.run_for(1'000);
  };
  tell(v1::ImageStatus::WAITING, 1);
  EXPECT_EQ(world.refused("UploadImage", mine), "");
  EXPECT_EQ(world.refused("UploadImage", mine), "not_waiting_for_upload") << "announced, and not looked at yet";
  tell(v1::ImageStatus::WAITING, 1, "");
  EXPECT_EQ(world.refused("UploadImage", mine), "not_waiting_for_upload") << "told before it was announced";
  tell(v1::ImageStatus::IMPORTING, 2);
  EXPECT_EQ(world.refused("UploadImage", mine), "not_waiting_for_upload");
  tell(v1::ImageStatus::FAILED, 2);
  EXPECT_EQ(world.refused("UploadImage", mine), "") << "it was refused, and another may come";
  tell(v1::ImageStatus::FAILED, 3, "/pool/images/mine.qcow2");
  EXPECT_EQ(world.refused("UploadImage", mine), "not_waiting_for_upload") << "its file vanished";
}

TEST(Subnets, AFullSegmentHasNoAddressLeft) {
  Rng rng(1);
  std::set<std::string> given;
  const auto taken = [&](const std::string& address) { return given.count(address) != 0; };
  for (int i = 0; i < 1021; ++i) {
    const auto address = choose_address("10.0.0.0/22", rng, taken);
    ASSERT_TRUE(address) << i;
    ASSERT_TRUE(given.insert(*address).second);
  }
  EXPECT_EQ(choose_address("10.0.0.0/22", rng, taken).error().word(), "no_address_left");
}

}  // namespace
}  // namespace gantry::control
