#include "qemu/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace gantry::qemu {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

CommandLineRequest small_guest() {
  CommandLineRequest request;
  request.emulator = "/usr/bin/qemu-system-x86_64";
  request.guest.vm_id = "vm-4f7k2m9qzt3x";
  request.guest.name = "web";
  request.guest.cpus = 2;
  request.guest.memory_mib = 256;
  request.descriptors = {.qmp = 3, .sentinel = 4, .serial = 5, .agent = 6, .taps = {}, .keys = {}};
  request.console_log = "/s/vms/vm-4f7k2m9qzt3x/console.log";
  request.vnc_socket = "/s/vms/vm-4f7k2m9qzt3x/run/vnc.sock";
  return request;
}

// The value after each occurrence of an option.
std::vector<std::string> values_of(const std::vector<std::string>& arguments, const std::string& option) {
  std::vector<std::string> values;
  for (std::size_t i = 0; i + 1 < arguments.size(); ++i) {
    if (arguments[i] == option) values.push_back(arguments[i + 1]);
  }
  return values;
}

TEST(CommandLine, OfADisklessGuestIsExactlyThis) {
  const auto arguments = make_command_line(small_guest());
  ASSERT_TRUE(arguments) << arguments.error().to_text();
  EXPECT_THAT(
      *arguments,
      ElementsAre("/usr/bin/qemu-system-x86_64", "-S", "-nodefaults", "-no-user-config", "-trace",
                  "qemu_system_shutdown_request", "-trace", "runstate_set", "-sandbox",
                  "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-name",
                  "guest=vm-4f7k2m9qzt3x", "-uuid", guest_uuid("vm-4f7k2m9qzt3x"), "-machine", "pc-q35-7.2", "-accel",
                  "tcg,tb-size=64", "-cpu", "max", "-smp", "2", "-m", "256M", "-rtc", "base=utc", "-boot", "strict=on",
                  "-chardev", "socket,id=qmp,fd=3,server=on,wait=off", "-mon", "chardev=qmp,mode=control", "-chardev",
                  "socket,id=sentinel,fd=4,server=on,wait=off", "-mon", "chardev=sentinel,mode=control", "-chardev",
                  "socket,id=serial,fd=5,server=on,wait=off,logfile=/s/vms/vm-4f7k2m9qzt3x/console.log,logappend=on",
                  "-serial", "chardev:serial", "-chardev", "socket,id=agent,fd=6,server=on,wait=off", "-device",
                  R"({"driver":"virtio-serial-pci","id":"channels"})", "-device",
                  R"({"driver":"virtserialport","bus":"channels.0","chardev":"agent","name":"org.qemu.guest_agent.0"})",
                  "-device", R"({"driver":"VGA"})", "-vnc", "unix:/s/vms/vm-4f7k2m9qzt3x/run/vnc.sock", "-object",
                  R"({"qom-type":"rng-builtin","id":"entropy"})", "-device",
                  R"({"driver":"virtio-rng-pci","rng":"entropy"})", "-device", R"({"driver":"pvpanic-pci"})"));
}

TEST(CommandLine, HasATpmWhenItKeepsOne) {
  auto request = small_guest();
  request.guest.tpm_directory = "/pool/tpm/vm-4f7k2m9qzt3x";
  request.descriptors.tpm = 7;
  const auto arguments = make_command_line(request);
  ASSERT_TRUE(arguments) << arguments.error().to_text();
  EXPECT_THAT(values_of(*arguments, "-chardev"), Contains("socket,id=tpm,fd=7"));
  EXPECT_THAT(values_of(*arguments, "-tpmdev"), ElementsAre("emulator,id=tpm0,chardev=tpm"));
  EXPECT_THAT(values_of(*arguments, "-device"), Contains(R"({"driver":"tpm-crb","tpmdev":"tpm0"})"));
}

TEST(CommandLine, HasItsBalloonBehindAllOtherDevices) {
  auto request = small_guest();
  request.guest.balloon = true;
  request.guest.nics.emplace_back().mac = "52:54:00:00:00:01";
  const auto arguments = make_command_line(request);
  ASSERT_TRUE(arguments) << arguments.error().to_text();
  EXPECT_EQ(values_of(*arguments, "-device").back(), R"({"driver":"virtio-balloon-pci","id":"balloon"})");
}

TEST(CommandLine, GivesEachDiskItsNodesAndTheFirstBoots) {
  auto request = small_guest();
  request.guest.disks = {
      {.path = "/p/a.qcow2", .volume_id = "vol-1", .serial = "vol-4f7k2m9qzt3x"},
      {.path = "/p/b.raw", .format = v1::VolumeSpec::RAW, .bus = v1::VmDisk::SATA, .read_only = true, .volume_id = {}}};
  request.guest.seed = "/p/seed.iso";
  request.access = {{.direct = true}, {.direct = false}};
  const auto arguments = make_command_line(request);
  ASSERT_TRUE(arguments);
  const auto nodes = values_of(*arguments, "-blockdev");
  ASSERT_EQ(nodes.size(), 6U);
  EXPECT_EQ(nodes[0],
            R"({"driver":"file","node-name":"disk0-file","filename":"/p/a.qcow2","locking":"on","read-only":false,)"
            R"("discard":"unmap","cache":{"direct":true,"no-flush":false}})");
  EXPECT_EQ(nodes[1],
            R"({"driver":"qcow2","node-name":"disk0","file":"disk0-file","read-only":false,"discard":"unmap",)"
            R"("detect-zeroes":"off","cache":{"direct":true,"no-flush":false}})");
  EXPECT_THAT(nodes[3], HasSubstr(R"("driver":"raw")"));
  EXPECT_THAT(nodes[3], HasSubstr(R"("read-only":true)"));
  const auto devices = values_of(*arguments, "-device");
  EXPECT_THAT(devices, Contains(R"({"driver":"virtio-blk-pci","id":"disk0-device","drive":"disk0","bootindex":1,)"
                                R"("serial":"vol-4f7k2m9qzt3x"})"));
  EXPECT_THAT(devices,
              Contains(R"({"driver":"ide-hd","id":"disk1-device","drive":"disk1","bootindex":2,"bus":"ide.0"})"));
  EXPECT_THAT(devices, Contains(R"({"driver":"virtio-blk-pci","id":"seed-device","drive":"seed"})"));
}

TEST(CommandLine, GivesADiskInCephAllThatItTakesToReachItButTheKey) {
  auto request = small_guest();
  request.guest.disks = {
      {.path = "/p/a.raw", .format = v1::VolumeSpec::RAW, .volume_id = {}},
      {.path = "rbd:gantry@vms/blue/vol-1:/s/ceph/pool-1.conf", .format = v1::VolumeSpec::RAW, .volume_id = {}}};
  request.access = {{}, {.direct = true, .monitors = {{"10.0.0.1", 0}, {"fd00::2", 3300}}, .key = "QUJD"}};
  request.descriptors.keys[1] = 9;
  const auto arguments = make_command_line(request);
  ASSERT_TRUE(arguments);
  EXPECT_THAT(values_of(*arguments, "-object"),
              Contains(R"({"qom-type":"secret","id":"disk1-key","file":"/proc/self/fd/9","format":"base64"})"));
  const auto nodes = values_of(*arguments, "-blockdev");
  ASSERT_EQ(nodes.size(), 4U);
  EXPECT_EQ(
      nodes[2],
      R"({"driver":"rbd","node-name":"disk1-file","pool":"vms","namespace":"blue","image":"vol-1",)"
      R"("conf":"/dev/null","user":"gantry","key-secret":"disk1-key","server":[{"host":"10.0.0.1","port":"3300"},)"
      R"({"host":"10.0.0.1","port":"6789"},{"host":"fd00::2","port":"3300"}],"read-only":false,)"
      R"("discard":"unmap","cache":{"direct":true,"no-flush":false}})");
  EXPECT_THAT(nodes[3], HasSubstr(R"("driver":"raw","node-name":"disk1","file":"disk1-file")"));
  for (const std::string& argument : *arguments) EXPECT_EQ(argument.find("QUJD"), std::string::npos) << argument;
}

TEST(CommandLine, AttachesNicsByTapOrUserModeWithForwards) {
  auto request = small_guest();
  port::GuestNic user{.mac = "52:54:00:00:00:02", .model = v1::VmNic::E1000E, .tap = {}, .forwards = {}, .ipv4 = {}};
  v1::PortForward forward;
  forward.set_host_port(2222);
  forward.set_guest_port(22);
  user.forwards.push_back(forward);
  request.guest.nics = {{.mac = "52:54:00:00:00:01", .tap = "gt-1", .forwards = {}, .ipv4 = {}}, user};
  request.descriptors.taps = {7};
  const auto arguments = make_command_line(request);
  ASSERT_TRUE(arguments);
  EXPECT_THAT(values_of(*arguments, "-netdev"),
              ElementsAre("tap,id=nic0,fd=7,vhost=off", "user,id=nic1,hostfwd=tcp:127.0.0.1:2222-:22"));
  EXPECT_THAT(
      values_of(*arguments, "-device"),
      Contains(R"({"driver":"e1000e","id":"nic1-device","netdev":"nic1","mac":"52:54:00:00:00:02","romfile":""})"));
}

TEST(CommandLine, BootsAKernelDirectlyOrThroughUefi) {
  auto request = small_guest();
  request.kvm = true;
  request.guest.kernel = "/i/vmlinuz";
  request.guest.initramfs = "/i/initrd";
  request.guest.kernel_arguments = "console=ttyS0 x=1,2";
  request.guest.uefi = true;
  request.firmware_code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
  request.firmware_variables = "/s/vars.fd";
  const auto arguments = make_command_line(request);
  ASSERT_TRUE(arguments);
  EXPECT_THAT(values_of(*arguments, "-append"), ElementsAre("console=ttyS0 x=1,2"));
  EXPECT_THAT(values_of(*arguments, "-machine"), ElementsAre("pc-q35-7.2,pflash0=firmware,pflash1=variables"));
  EXPECT_THAT(values_of(*arguments, "-accel"), ElementsAre("kvm"));
  EXPECT_THAT(values_of(*arguments, "-cpu"), ElementsAre("host"));
  EXPECT_EQ(values_of(*arguments, "-blockdev").size(), 4U);
}

TEST(CommandLine, GivesTheProcessorAskedForWholeOrNone) {
  auto request = small_guest();
  request.guest.cpu_model = "Nehalem-v1";
  for (const bool kvm : {false, true}) {
    request.kvm = kvm;
    const auto arguments = make_command_line(request);
    ASSERT_TRUE(arguments);
    EXPECT_THAT(values_of(*arguments, "-cpu"), ElementsAre("Nehalem-v1,enforce"));
  }
  request.guest.cpu_model = "Nehalem,check=off";
  EXPECT_FALSE(make_command_line(request));
}

TEST(CommandLine, LetsNoTextAddAnOption) {
  auto request = small_guest();
  request.guest.name = "x,debug-threads=on -monitor stdio";
  request.guest.disks = {{.path = "/p/a\",\"driver\":\"nbd\",x.qcow2", .volume_id = "vol-1", .serial = "\",\"x\":\"y"}};
  request.console_log = "/s,fd=9/console.log";
  request.vnc_socket = "/s,password=off/vnc.sock";
  const auto arguments = make_command_line(request);
  ASSERT_TRUE(arguments);
  EXPECT_THAT(*arguments, Not(Contains(HasSubstr("debug-threads"))));
  EXPECT_THAT(values_of(*arguments, "-blockdev")[0], HasSubstr(R"("filename":"/p/a\",\"driver\":\"nbd\",x.qcow2")"));
  EXPECT_THAT(values_of(*arguments, "-chardev")[2], HasSubstr("logfile=/s,,fd=9/console.log,logappend"));
  EXPECT_THAT(values_of(*arguments, "-vnc"), ElementsAre("unix:/s,,password=off/vnc.sock"));
}

TEST(CommandLine, RefusesWhatMakesNoSense) {
  const auto refused = [](auto change) {
    auto request = small_guest();
    change(request);
    const auto arguments = make_command_line(request);
    return !arguments && arguments.error().code == ErrorCode::invalid_argument;
  };
  const auto with_nic = [](CommandLineRequest& request, const port::GuestNic& nic) { request.guest.nics = {nic}; };
  EXPECT_TRUE(refused([](auto& request) { request.guest.vm_id = "../x"; }));
  EXPECT_TRUE(refused([](auto& request) { request.guest.cpus = 0; }));
  EXPECT_TRUE(refused([](auto& request) { request.guest.disks = {{.path = "relative", .volume_id = {}}}; }));
  EXPECT_TRUE(refused([](auto& request) { request.guest.kernel = "-monitor"; }));
  EXPECT_TRUE(refused([&](auto& request) {
    with_nic(request, {.mac = "52:54:00:00:00:02,x=1", .tap = {}, .forwards = {}, .ipv4 = {}});
  }));
  EXPECT_TRUE(refused([&](auto& request) {
    v1::PortForward forward;
    forward.set_host_address("127.0.0.1,guestfwd=x");
    forward.set_guest_port(22);
    with_nic(request, {.mac = "52:54:00:00:00:02", .tap = {}, .forwards = {forward}, .ipv4 = {}});
  }));
  EXPECT_TRUE(refused([](auto& request) {
    request.guest.disks.resize(7, {.path = "/p/a", .bus = v1::VmDisk::SATA, .volume_id = {}});
  }));
  EXPECT_TRUE(refused([](auto& request) { request.guest.disks.resize(25, {.path = "/p/a", .volume_id = {}}); }));
}

TEST(GuestUuid, IsStableAndDiffers) {
  EXPECT_EQ(guest_uuid("vm-4f7k2m9qzt3x"), guest_uuid("vm-4f7k2m9qzt3x"));
  EXPECT_NE(guest_uuid("vm-4f7k2m9qzt3x"), guest_uuid("vm-4f7k2m9qzt3y"));
  EXPECT_THAT(guest_uuid("vm-4f7k2m9qzt3x"),
              testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}"));
}

}  // namespace
}  // namespace gantry::qemu
