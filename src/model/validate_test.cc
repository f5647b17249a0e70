#include "model/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/names.h"
#include "model/sha256.h"
#include "model/state.h"
#include "model/utf8.h"

namespace gantry::model {
namespace {

using testing::HasSubstr;

// The field the request is refused for; empty when it is fine.
template <class Request>
std::string refused(const Request& request) {
  const Checked checked = validate(request);
  if (checked) return {};
  EXPECT_EQ(checked.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(checked.error().word(), "invalid_field");
  EXPECT_FALSE(checked.error().cause.empty());
  EXPECT_FALSE(checked.error().next_step.empty()) << checked.error().to_text();
  // As the API's JSON has it.
  EXPECT_EQ(checked.error().summary.find('_'), std::string::npos) << checked.error().summary;
  return checked.error().summary;
}

v1::CreateVmRequest good_vm() {
  v1::CreateVmRequest request;
  request.set_name("web");
  request.mutable_spec()->set_image("debian-12");
  return request;
}

TEST(Names, KeepToTheRule) {
  for (const char* name : {"a", "web-1", "a0"}) EXPECT_TRUE(is_name(name)) << name;
  EXPECT_TRUE(is_name(std::string(63, 'a')));
  for (const char* name : {"", "-a", "a-", "1a", "A", "a_b", "a.b", "\xc3\xa4"}) EXPECT_FALSE(is_name(name)) << name;
  EXPECT_FALSE(is_name(std::string(64, 'a')));
}

TEST(Names, AreMadeFromAnyText) {
  EXPECT_EQ(to_name("My Host.example"), "my-host-example");
  EXPECT_EQ(to_name("42"), "unnamed");
  EXPECT_EQ(to_name("4-you-"), "you");
  EXPECT_EQ(name_with_suffix(std::string(63, 'a'), "-disk0"), std::string(57, 'a') + "-disk0");
  EXPECT_EQ(name_with_suffix("web", "-disk0"), "web-disk0");
}

TEST(Sha256, MatchesTheStandardsExamples) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(ValidateVm, TakesTheLeastThatCanBoot) { EXPECT_EQ(refused(good_vm()), ""); }

TEST(ValidateVm, NamesTheFieldThatIsWrong) {
  const auto with = [](auto change) {
    v1::CreateVmRequest request = good_vm();
    change(request);
    return refused(request);
  };
  EXPECT_THAT(with([](auto& r) { r.set_name("Web"); }), HasSubstr("name"));
  EXPECT_THAT(with([](auto& r) { (*r.mutable_labels())["a=b"] = "c"; }), HasSubstr("labels"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->clear_image(); }), HasSubstr("spec.image"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->set_image("../etc"); }), HasSubstr("spec.image"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->set_cpus(513); }), HasSubstr("spec.cpus"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->set_memory_mib(15); }), HasSubstr("spec.memoryMib"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->set_boot_id("x"); }), HasSubstr("spec.bootId"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->set_stop_once_timeout_seconds(5); }), HasSubstr("spec.bootId"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->set_power(static_cast<v1::VmSpec::Power>(9)); }),
              HasSubstr("spec.power"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->add_disks(); }), HasSubstr("spec.disks[0].volume"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->add_disks()->mutable_create(); }),
              HasSubstr("spec.disks[0].create.capacityBytes"));
  EXPECT_THAT(with([](auto& r) {
                r.mutable_spec()->add_disks()->set_volume("data");
                r.mutable_spec()->mutable_disks(0)->mutable_create();
              }),
              HasSubstr("spec.disks[0].volume"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->add_nics()->set_mac("01:00:5e:00:00:01"); }),
              HasSubstr("spec.nics[0].mac"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->add_nics()->set_ipv4("10.0.0"); }), HasSubstr("spec.nics[0].ipv4"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->add_nics()->add_port_forwards(); }),
              HasSubstr("spec.nics[0].portForwards[0].guestPort"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->mutable_cloud_init()->set_user("Root!"); }),
              HasSubstr("cloudInit.user"));
  EXPECT_THAT(with([](auto& r) { r.mutable_spec()->mutable_cloud_init()->add_ssh_authorized_keys("a\nb c"); }),
              HasSubstr("sshAuthorizedKeys"));
  EXPECT_THAT(with([](auto& r) {
                r.mutable_spec()->mutable_cloud_init()->set_user_data(std::string(kUserDataBytesMax + 1, 'x'));
              }),
              HasSubstr("userData"));
  EXPECT_EQ(
      with([](auto& r) { r.mutable_spec()->mutable_cloud_init()->set_user_data(std::string(kUserDataBytesMax, 'x')); }),
      "");
}

TEST(ValidateVm, SaysHowManyDisksAndNicsOneMachineTakes) {
  const auto with = [](int virtio, int sata, int nics) {
    v1::CreateVmRequest request = good_vm();
    for (int i = 0; i < virtio + sata; ++i) {
      v1::VmDisk& disk = *request.mutable_spec()->add_disks();
      disk.set_volume("v" + std::to_string(i));
      if (i >= virtio) disk.set_bus(v1::VmDisk::SATA);
    }
    for (int i = 0; i < nics; ++i) request.mutable_spec()->add_nics();
    const Checked checked = validate(request);
    return checked ? std::string() : checked.error().summary + ": " + checked.error().cause;
  };
  EXPECT_EQ(with(18, 6, 0), "");
  EXPECT_EQ(with(16, 0, 8), "");
  EXPECT_EQ(with(25, 0, 0), "the field spec.disks is wrong: 25 disks are more than the 24 that one VM can have");
  EXPECT_EQ(with(0, 7, 0), "the field spec.disks is wrong: 7 SATA disks are more than the 6 that one VM can have");
  EXPECT_EQ(with(0, 0, 9), "the field spec.nics is wrong: 9 NICs are more than the 8 that one VM can have");
  EXPECT_EQ(with(17, 0, 8),
            "the field spec.disks is wrong: 25 disks and NICs together are more than the 24 that one VM can have");
  v1::CreateVmRequest request = good_vm();
  request.mutable_spec()->add_disks()->set_volume("v");
  request.mutable_spec()->mutable_disks(0)->set_read_only(true);
  EXPECT_EQ(refused(request), "");
  request.mutable_spec()->mutable_disks(0)->set_bus(v1::VmDisk::SATA);
  EXPECT_THAT(refused(request), HasSubstr("spec.disks[0].readOnly"));
}

TEST(ValidateVolume, NeedsASizeUnlessAnImageGivesIt) {
  v1::CreateVolumeRequest request;
  request.set_name("data");
  EXPECT_THAT(refused(request), HasSubstr("spec.capacityBytes"));
  request.mutable_spec()->set_image("debian-12");
  EXPECT_EQ(refused(request), "");
  request.mutable_spec()->set_capacity_bytes(kVolumeBytesMax + 1);
  EXPECT_THAT(refused(request), HasSubstr("spec.capacityBytes"));
  request.mutable_spec()->set_capacity_bytes(kVolumeBytesMin);
  request.mutable_spec()->set_owner_vm_id("vm-1");
  EXPECT_THAT(refused(request), HasSubstr("spec.ownerVmId"));
}

TEST(ValidateImage, HasExactlyOneSource) {
  v1::CreateImageRequest request;
  request.set_name("debian-12");
  EXPECT_THAT(refused(request), HasSubstr("spec.recipe"));
  request.mutable_spec()->set_recipe("debian-12");
  EXPECT_EQ(refused(request), "");
  request.mutable_spec()->set_upload(true);
  EXPECT_THAT(refused(request), HasSubstr("spec.recipe"));
  request.mutable_spec()->clear_recipe();
  EXPECT_EQ(refused(request), "");
}

TEST(ValidateImage, AUrlIsHttpsAndHasAHash) {
  v1::CreateImageRequest request;
  request.set_name("x");
  request.mutable_spec()->set_url("http://images.example/x.qcow2");
  EXPECT_THAT(refused(request), HasSubstr("spec.url"));
  request.mutable_spec()->set_url("https://images.example/x.qcow2");
  EXPECT_THAT(refused(request), HasSubstr("spec.sha256"));
  request.mutable_spec()->set_sha256(std::string(64, 'a'));
  EXPECT_EQ(refused(request), "");
}

TEST(ValidateNetwork, ChecksWhatItsKindTakes) {
  v1::CreateNetworkRequest request;
  request.set_name("lan");
  EXPECT_EQ(refused(request), "");
  for (const char* subnet : {"10.0.0.1/24", "10.0.0.0/30", "10.0.0.0", "banana", "10.0.0.0/7"}) {
    request.mutable_spec()->set_ipv4_subnet(subnet);
    EXPECT_THAT(refused(request), HasSubstr("spec.ipv4Subnet")) << subnet;
  }
  request.mutable_spec()->set_ipv4_subnet("10.0.0.0/24");
  EXPECT_EQ(refused(request), "");
  request.mutable_spec()->set_kind(v1::NetworkSpec::BRIDGE);
  EXPECT_THAT(refused(request), HasSubstr("spec.bridge"));
  request.mutable_spec()->set_bridge("br0; reboot");
  EXPECT_THAT(refused(request), HasSubstr("spec.bridge"));
  request.mutable_spec()->set_bridge("br0");
  EXPECT_THAT(refused(request), HasSubstr("spec.ipv4Subnet"));
  request.mutable_spec()->clear_ipv4_subnet();
  EXPECT_EQ(refused(request), "");
}

TEST(ValidatePool, WantsAPlainAbsoluteDirectory) {
  v1::CreatePoolRequest request;
  request.set_name("fast");
  for (const char* path : {"", "/", "srv", "/srv/../etc", "/srv//x", "/srv/", "/srv/a b", "/srv/./x"}) {
    request.mutable_spec()->set_path(path);
    EXPECT_THAT(refused(request), HasSubstr("spec.path")) << path;
  }
  request.mutable_spec()->set_path("/srv/gantry-1_x.y");
  EXPECT_EQ(refused(request), "");
}

v1::CreatePoolRequest pool_of_ceph() {
  v1::CreatePoolRequest request;
  request.set_name("ceph");
  request.mutable_spec()->set_driver(v1::PoolSpec::RBD);
  v1::RbdPool& rbd = *request.mutable_spec()->mutable_rbd();
  rbd.set_pool("vms");
  rbd.add_monitors("10.0.0.1");
  rbd.set_key("AQBTJcdlAAAAABAAGqKeB1pzxnBIr3lUcUyRtg==");
  return request;
}

TEST(ValidatePool, OfCephWantsWhatReachesIt) {
  EXPECT_EQ(refused(pool_of_ceph()), "");
  const auto refused_with = [](void (*change)(v1::PoolSpec & spec)) {
    v1::CreatePoolRequest request = pool_of_ceph();
    change(*request.mutable_spec());
    return refused(request);
  };
  EXPECT_THAT(refused_with([](auto& spec) { spec.set_path("/srv"); }), HasSubstr("spec.path"));
  EXPECT_THAT(refused_with([](auto& spec) { spec.clear_rbd(); }), HasSubstr("spec.rbd.pool"));
  EXPECT_THAT(refused_with([](auto& spec) { spec.mutable_rbd()->set_pool("a/b"); }), HasSubstr("spec.rbd.pool"));
  EXPECT_THAT(refused_with([](auto& spec) { spec.mutable_rbd()->set_namespace_("a b"); }),
              HasSubstr("spec.rbd.namespace"));
  EXPECT_THAT(refused_with([](auto& spec) { spec.mutable_rbd()->set_user("a\n"); }), HasSubstr("spec.rbd.user"));
  EXPECT_THAT(refused_with([](auto& spec) { spec.mutable_rbd()->clear_monitors(); }), HasSubstr("spec.rbd.monitors"));
  EXPECT_THAT(refused_with([](auto& spec) { spec.mutable_rbd()->add_monitors("10.0.0.1\nkeyring=/etc/passwd"); }),
              HasSubstr("spec.rbd.monitors"));
  EXPECT_THAT(refused_with([](auto& spec) { spec.set_host_id("alpha"); }), HasSubstr("spec.hostId"));
  const std::string said = refused_with([](auto& spec) { spec.mutable_rbd()->set_key("geheim"); });
  EXPECT_THAT(said, HasSubstr("spec.rbd.key"));
  EXPECT_EQ(said.find("geheim"), std::string::npos);
  EXPECT_EQ(refused_with([](auto& spec) { spec.set_shared(true); }), "");
  EXPECT_EQ(refused_with([](auto& spec) { spec.add_hosts("alpha"); }), "");
  EXPECT_THAT(refused_with([](auto& spec) {
                spec.set_driver(v1::PoolSpec::DIR);
                spec.set_path("/srv/fast");
              }),
              HasSubstr("spec.rbd"));
}

TEST(Labels, FilterIsParsedAndChecked) {
  const auto filter = parse_label_filter("tier=web,zone=");
  ASSERT_TRUE(filter);
  EXPECT_THAT(*filter, testing::ElementsAre(testing::Pair("tier", "web"), testing::Pair("zone", "")));
  EXPECT_TRUE(parse_label_filter("")->empty());
  EXPECT_FALSE(parse_label_filter("tier"));
  EXPECT_FALSE(parse_label_filter("=x"));
}

TEST(State, MemoryIsHeldUntilTheStopWasSeen) {
  v1::Vm vm;
  vm.mutable_meta()->set_generation(2);
  vm.mutable_placement()->set_host_id("host-1");
  vm.mutable_spec()->set_power(v1::VmSpec::STOPPED);
  vm.mutable_status()->set_state(v1::VmStatus::STOPPED);
  vm.mutable_status()->set_observed_generation(1);
  EXPECT_TRUE(holds_memory(vm));
  vm.mutable_status()->set_observed_generation(2);
  EXPECT_FALSE(holds_memory(vm));
  vm.mutable_status()->set_state(v1::VmStatus::STOPPING);
  EXPECT_TRUE(holds_memory(vm));
}

TEST(State, SizesAreReadable) {
  EXPECT_EQ(bytes_text(7), "7 bytes");
  EXPECT_EQ(bytes_text(10ULL << 30U), "10 GiB");
  EXPECT_EQ(bytes_text(1ULL << 40U), "1 TiB");
}

TEST(Utf8, IsTold) {
  for (const char* text : {"", "abc", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"})
    EXPECT_TRUE(is_utf8(text)) << text;
  for (const char* text : {"\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3"}) {
    EXPECT_FALSE(is_utf8(text));
  }
}

TEST(Utf8, CharactersAreDecoded) {
  EXPECT_EQ(first_character("a\x80").code, U'a');
  EXPECT_EQ(first_character("\xc3\xa4x").code, U'\u00e4');
  EXPECT_EQ(first_character("\xe2\x82\xac").code, U'\u20ac');
  EXPECT_EQ(first_character("\xf0\x9f\x98\x80").bytes, 4U);
  EXPECT_EQ(first_character("\xff").bytes, 0U);
}

TEST(DnsNames, KeepToTheRule) {
  for (const char* name : {"a", "web-1.example.org", "Lab.Example", "0.1"}) EXPECT_TRUE(is_dns_name(name)) << name;
  EXPECT_TRUE(is_dns_name(std::string(63, 'a') + "." + std::string(63, 'b')));
  for (const char* name : {"", ".", "a.", "a..b", "-a", "a-", "a_b", "a b", "\xc3\xa4"}) {
    EXPECT_FALSE(is_dns_name(name)) << name;
  }
  EXPECT_FALSE(is_dns_label(std::string(64, 'a')));
  EXPECT_FALSE(
      is_dns_name(std::string(127, 'a').replace(63, 1, ".") + "." + std::string(127, 'a').replace(63, 1, ".")));
}

TEST(ValidateMove, BoundsWhatItMayTake) {
  v1::MoveVmRequest request;
  EXPECT_FALSE(validate(request)) << "of which VM?";
  request.set_id("web");
  EXPECT_TRUE(validate(request));
  request.set_host("not a name");
  EXPECT_FALSE(validate(request));
  request.set_host("beta");
  request.set_pool("not a name");
  EXPECT_FALSE(validate(request));
  request.set_pool("fast");
  request.set_downtime_ms_max(kMoveDowntimeMsMax);
  request.set_bytes_per_second_max(kMoveBytesPerSecondMin);
  EXPECT_TRUE(validate(request));
  request.set_bytes_per_second_max(kMoveBytesPerSecondMin - 1);
  EXPECT_FALSE(validate(request)) << "it would never end";
  request.set_bytes_per_second_max(kMoveBytesPerSecondMax + 1);
  EXPECT_FALSE(validate(request));
  request.set_bytes_per_second_max(0);
  request.set_downtime_ms_max(kMoveDowntimeMsMax + 1);
  EXPECT_FALSE(validate(request));
  request.set_downtime_ms_max(0);
  request.set_connections(kMoveConnectionsMax);
  EXPECT_TRUE(validate(request));
  request.set_connections(kMoveConnectionsMax + 1);
  EXPECT_FALSE(validate(request));
}

TEST(Validate, AMoveOfADiskNamesItAndItsPool) {
  v1::MoveVolumeRequest request;
  request.set_id("data");
  EXPECT_FALSE(validate(request)) << "to which pool?";
  request.set_pool("fast");
  EXPECT_TRUE(validate(request));
  request.clear_id();
  EXPECT_FALSE(validate(request));
  request.set_id("data");
  request.set_bytes_per_second_max(kMoveBytesPerSecondMin - 1);
  EXPECT_FALSE(validate(request));
}

TEST(Validate, WhatGantrySetsOfDisksUsersDoNot) {
  v1::CreateVmRequest vm;
  vm.set_name("web");
  v1::VmDisk& disk = *vm.mutable_spec()->add_disks();
  disk.set_volume("data");
  EXPECT_TRUE(validate(vm));
  disk.set_serial("vol-1");
  EXPECT_FALSE(validate(vm));
  v1::CreateVolumeRequest volume;
  volume.set_name("data");
  volume.mutable_spec()->set_capacity_bytes(kVolumeBytesMin);
  EXPECT_TRUE(validate(volume));
  volume.mutable_spec()->set_copy_of("vol-1");
  EXPECT_FALSE(validate(volume));
}

}  // namespace
}  // namespace gantry::model
