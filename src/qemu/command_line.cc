#include "qemu/command_line.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/fnv.h"
#include "base/id.h"
#include "model/check.h"
#include "model/ipv4.h"
#include "model/limits.h"
#include "model/mac.h"
#include "model/rbd_location.h"

namespace gantry::qemu {
namespace {

using Json = nlohmann::ordered_json;
using Arguments = std::vector<std::string>;

// By its version: a guest that moves finds the same machine on hosts with a newer QEMU. Debian 12 has 7.2.
constexpr const char* kMachine = "pc-q35-7.2";
// TCG keeps translated code in it; it is touched only as far as it is used.
constexpr const char* kTcg = "tcg,tb-size=64";

// QEMU's option syntax: a comma within a value is doubled.
std::string escaped(std::string_view value) {
  std::string result;
  for (const char letter : value) {
    result += letter;
    if (letter == ',') result += ',';
  }
  return result;
}

void add(Arguments& arguments, const char* option, std::string value) {
  arguments.emplace_back(option);
  arguments.push_back(std::move(value));
}

std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

void add_device(Arguments& arguments, const Json& device) { add(arguments, "-device", dump(device)); }

Error unusable(const port::GuestDefinition& guest, std::string cause) {
  return {ErrorCode::invalid_argument, "virtual machine " + guest.vm_id + " cannot be started as it is defined",
          std::move(cause), "change its definition and start it again"};
}

Result<void> check(const CommandLineRequest& request) {
  const auto& guest = request.guest;
  if (!is_id(guest.vm_id, "vm")) return fail(unusable(guest, "its id is malformed"));
  if (guest.cpus == 0 || guest.memory_mib == 0) return fail(unusable(guest, "it has no processor or no memory"));
  if (!guest.cpu_model.empty() && !model::is_cpu_model(guest.cpu_model)) {
    return fail(unusable(guest, "\"" + guest.cpu_model + "\" is no name of a processor"));
  }
  if (guest.disks.size() + guest.nics.size() > model::kDevicesMax) {
    return fail(unusable(guest, "it has more than " + std::to_string(model::kDevicesMax) + " disks and network cards"));
  }
  std::vector<std::string> paths = {request.console_log, request.vnc_socket};
  for (const auto& disk : guest.disks) {
    const auto image = model::rbd_location(disk.path);
    if (!image || image->image.empty()) paths.push_back(disk.path);
  }
  for (const auto* optional : {&guest.kernel, &guest.initramfs, &guest.seed}) {
    if (!optional->empty()) paths.push_back(*optional);
  }
  for (const auto& path : paths) {
    if (path.empty() || path.front() != '/') return fail(unusable(guest, "\"" + path + "\" is no absolute path"));
  }
  for (const auto& nic : guest.nics) {
    if (const auto mac = model::parse_mac(nic.mac); !mac || *mac != nic.mac)
      return fail(unusable(guest, "\"" + nic.mac + "\" is no MAC address"));
    for (const auto& forward : nic.forwards) {
      if (!forward.host_address().empty() && !model::parse_ipv4(forward.host_address())) {
        return fail(unusable(guest, "\"" + forward.host_address() + "\" is no IPv4 address of this host"));
      }
      if (forward.host_port() > 65535 || forward.guest_port() == 0 || forward.guest_port() > 65535) {
        return fail(unusable(guest, "a forwarded port is not between 1 and 65535"));
      }
    }
  }
  return {};
}

void add_machine(Arguments& arguments, const CommandLineRequest& request) {
  const auto& guest = request.guest;
  add(arguments, "-name", "guest=" + guest.vm_id);
  add(arguments, "-uuid", guest_uuid(guest.vm_id));
  if (guest.uefi) {
    const Json code = {{"driver", "file"},
                       {"node-name", "firmware-file"},
                       {"filename", request.firmware_code},
                       {"read-only", true},
                       {"auto-read-only", true}};
    const Json variables = {
        {"driver", "file"}, {"node-name", "variables-file"}, {"filename", request.firmware_variables}};
    add(arguments, "-blockdev", dump(code));
    add(arguments, "-blockdev",
        dump(Json{{"driver", "raw"}, {"node-name", "firmware"}, {"file", "firmware-file"}, {"read-only", true}}));
    add(arguments, "-blockdev", dump(variables));
    add(arguments, "-blockdev", dump(Json{{"driver", "raw"}, {"node-name", "variables"}, {"file", "variables-file"}}));
    add(arguments, "-machine", std::string(kMachine) + ",pflash0=firmware,pflash1=variables");
  } else {
    add(arguments, "-machine", kMachine);
  }
  add(arguments, "-accel", request.kvm ? "kvm" : kTcg);
  // With "enforce" a guest that would get less than that processor has does not start.
  const std::string everything = request.kvm ? "host" : "max";
  add(arguments, "-cpu", guest.cpu_model.empty() ? everything : guest.cpu_model + ",enforce");
  add(arguments, "-smp", std::to_string(guest.cpus));
  add(arguments, "-m", std::to_string(guest.memory_mib) + "M");
  add(arguments, "-rtc", "base=utc");
  add(arguments, "-boot", "strict=on");
  if (guest.kernel.empty()) return;
  add(arguments, "-kernel", guest.kernel);
  if (!guest.initramfs.empty()) add(arguments, "-initrd", guest.initramfs);
  if (!guest.kernel_arguments.empty()) add(arguments, "-append", guest.kernel_arguments);
}

void add_control(Arguments& arguments, const CommandLineRequest& request) {
  const auto socket = [&](const char* id, int descriptor) {
    return "socket,id=" + std::string(id) + ",fd=" + std::to_string(descriptor) + ",server=on,wait=off";
  };
  const auto& descriptors = request.descriptors;
  add(arguments, "-chardev", socket("qmp", descriptors.qmp));
  add(arguments, "-mon", "chardev=qmp,mode=control");
  add(arguments, "-chardev", socket("sentinel", descriptors.sentinel));
  add(arguments, "-mon", "chardev=sentinel,mode=control");
  add(arguments, "-chardev",
      socket("serial", descriptors.serial) + ",logfile=" + escaped(request.console_log) + ",logappend=on");
  add(arguments, "-serial", "chardev:serial");
  add(arguments, "-chardev", socket("agent", descriptors.agent));
  add_device(arguments, {{"driver", "virtio-serial-pci"}, {"id", "channels"}});
  add_device(
      arguments,
      {{"driver", "virtserialport"}, {"bus", "channels.0"}, {"chardev", "agent"}, {"name", "org.qemu.guest_agent.0"}});
  add_device(arguments, {{"driver", "VGA"}});
  add(arguments, "-vnc", "unix:" + escaped(request.vnc_socket));
  add(arguments, "-object", R"({"qom-type":"rng-builtin","id":"entropy"})");
  add_device(arguments, {{"driver", "virtio-rng-pci"}, {"rng", "entropy"}});
  if (!request.guest.tpm_directory.empty()) {
    add(arguments, "-chardev", "socket,id=tpm,fd=" + std::to_string(descriptors.tpm));
    add(arguments, "-tpmdev", "emulator,id=tpm0,chardev=tpm");
    add_device(arguments, {{"driver", "tpm-crb"}, {"tpmdev", "tpm0"}});
  }
  // A panic of the guest's kernel ends the process and is reported as a crash.
  add_device(arguments, {{"driver", "pvpanic-pci"}});
}

void add_disk_nodes(Arguments& arguments, const std::string& node, const port::GuestDisk& disk,
                    const DiskAccess& access) {
  const DiskNodes nodes = disk_nodes(node, disk, access);
  add(arguments, "-blockdev", dump(nodes.file));
  add(arguments, "-blockdev", dump(nodes.format));
}

Result<void> add_disks(Arguments& arguments, const CommandLineRequest& request) {
  int sata_disks = 0;
  for (std::size_t i = 0; i < request.guest.disks.size(); ++i) {
    const auto& disk = request.guest.disks[i];
    const std::string node = disk_node(i);
    if (const auto key = request.descriptors.keys.find(i); key != request.descriptors.keys.end()) {
      add(arguments, "-object",
          dump(Json{{"qom-type", "secret"},
                    {"id", key_secret(node)},
                    {"file", "/proc/self/fd/" + std::to_string(key->second)},
                    {"format", "base64"}}));
    }
    add_disk_nodes(arguments, node, disk, i < request.access.size() ? request.access[i] : DiskAccess());
    const bool sata = disk.bus == v1::VmDisk::SATA;
    Json device = {
        {"driver", sata ? "ide-hd" : "virtio-blk-pci"}, {"id", disk_device(i)}, {"drive", node}, {"bootindex", i + 1}};
    // What the guest finds in /dev/disk/by-id; virtio has room for 20 letters.
    if (!disk.serial.empty()) device["serial"] = disk.serial.substr(0, 20);
    if (sata) {
      if (sata_disks == model::kSataDisksMax) {
        return fail(
            unusable(request.guest, "it has more than " + std::to_string(model::kSataDisksMax) + " SATA disks"));
      }
      device["bus"] = "ide." + std::to_string(sata_disks++);
    }
    add_device(arguments, device);
  }
  if (request.guest.seed.empty()) return {};
  const port::GuestDisk seed{
      .path = request.guest.seed, .format = v1::VolumeSpec::RAW, .read_only = true, .volume_id = {}};
  add_disk_nodes(arguments, "seed", seed, {});
  add_device(arguments, {{"driver", "virtio-blk-pci"}, {"id", "seed-device"}, {"drive", "seed"}});
  return {};
}

std::string user_network(const std::string& id, const port::GuestNic& nic) {
  std::string options = "user,id=" + id;
  for (const auto& forward : nic.forwards) {
    const std::string address = forward.host_address().empty() ? "127.0.0.1" : forward.host_address();
    options += std::string(",hostfwd=") + (forward.protocol() == v1::PortForward::UDP ? "udp:" : "tcp:") + address +
               ":" + std::to_string(forward.host_port()) + "-:" + std::to_string(forward.guest_port());
  }
  return options;
}

Result<void> add_nics(Arguments& arguments, const CommandLineRequest& request) {
  std::size_t taps = 0;
  for (std::size_t i = 0; i < request.guest.nics.size(); ++i) {
    const auto& nic = request.guest.nics[i];
    const std::string id = "nic" + std::to_string(i);
    if (nic.tap.empty()) {
      add(arguments, "-netdev", user_network(id, nic));
    } else if (taps < request.descriptors.taps.size()) {
      add(arguments, "-netdev",
          "tap,id=" + id + ",fd=" + std::to_string(request.descriptors.taps[taps++]) + ",vhost=off");
    } else {
      return fail(ErrorCode::internal, "no descriptor was opened for the tap " + nic.tap);
    }
    // No boot ROM: guests boot from disks, and starting is quicker.
    add_device(arguments, {{"driver", nic.model == v1::VmNic::E1000E ? "e1000e" : "virtio-net-pci"},
                           {"id", id + "-device"},
                           {"netdev", id},
                           {"mac", nic.mac},
                           {"romfile", ""}});
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> make_command_line(const CommandLineRequest& request) {
  if (auto checked = check(request); !checked) return fail(checked.error());
  // Paused until the agent has seen it come up.
  Arguments arguments = {request.emulator, "-S", "-nodefaults", "-no-user-config"};
  // The guest's life in a few lines of its error output, which tells an agent that was away how it ended.
  add(arguments, "-trace", "qemu_system_shutdown_request");
  add(arguments, "-trace", "runstate_set");
  add(arguments, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  add_machine(arguments, request);
  add_control(arguments, request);
  if (auto added = add_disks(arguments, request); !added) return fail(added.error());
  if (auto added = add_nics(arguments, request); !added) return fail(added.error());
  // Last, so that it moves no other device to another slot.
  if (request.guest.balloon) add_device(arguments, {{"driver", "virtio-balloon-pci"}, {"id", kBalloon}});
  if (request.incoming) add(arguments, "-incoming", "defer");
  return arguments;
}

std::string guest_uuid(std::string_view vm_id) {
  // FNV-1a of the id with two beginnings, in the form of RFC 9562's version 8.
  std::string digits;
  for (const std::uint64_t beginning : {kFnvBeginning, std::uint64_t{0x84222325cbf29ce4U}}) {
    const std::uint64_t hash = fnv1a(vm_id, beginning);
    for (int shift = 60; shift >= 0; shift -= 4)
      digits += "0123456789abcdef"[(hash >> static_cast<unsigned>(shift)) & 15U];
  }
  digits[12] = '8';
  digits[16] = 'a';
  for (const std::size_t dash : {8U, 13U, 18U, 23U}) digits.insert(dash, "-");
  return digits;
}

}  // namespace gantry::qemu
