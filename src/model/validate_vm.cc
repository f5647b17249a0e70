#include <algorithm>

#include "model/ipv4.h"
#include "model/mac.h"
#include "model/names.h"
#include "model/validate.h"

namespace gantry::model {
namespace {

std::string item(std::string_view list, int index, std::string_view field) {
  return "spec." + std::string(list) + "[" + std::to_string(index) + "]." + std::string(field);
}

Checked check_disk(const v1::VmDisk& disk, int index) {
  GANTRY_CHECK(check_reference(item("disks", index, "volume"), disk.volume()));
  if (!v1::VmDisk::Bus_IsValid(disk.bus()))
    return bad_field(item("disks", index, "bus"), "no such bus", std::string(kSeeApi));
  if (disk.read_only() && disk.bus() == v1::VmDisk::SATA) {
    return bad_field(item("disks", index, "readOnly"), "a SATA disk cannot be read-only", "use bus VIRTIO");
  }
  if (!disk.serial().empty()) return bad_field(item("disks", index, "serial"), "it is set by Gantry", "leave it out");
  if (disk.volume().empty() == !disk.has_create()) {
    return bad_field(item("disks", index, "volume"), "either a volume or what to create is to be given, and not both",
                     "leave one of the two out");
  }
  if (!disk.has_create()) return {};
  const v1::NewVolume& create = disk.create();
  GANTRY_CHECK(check_reference(item("disks", index, "create.pool"), create.pool()));
  GANTRY_CHECK(check_reference(item("disks", index, "create.image"), create.image()));
  if (create.capacity_bytes() != 0 || create.image().empty()) {
    GANTRY_CHECK(check_range(item("disks", index, "create.capacityBytes"), create.capacity_bytes(), kVolumeBytesMin,
                             kVolumeBytesMax));
  }
  if (!create.format().empty() && create.format() != "qcow2" && create.format() != "raw") {
    return bad_field(item("disks", index, "create.format"), "it is neither \"qcow2\" nor \"raw\"",
                     "give one of those, or leave it out");
  }
  return {};
}

Checked check_forward(const v1::PortForward& forward, const std::string& field) {
  if (!v1::PortForward::Protocol_IsValid(forward.protocol()))
    return bad_field(field + ".protocol", "no such protocol", std::string(kSeeApi));
  GANTRY_CHECK(check_range(field + ".hostPort", forward.host_port(), 0, 65'535));
  GANTRY_CHECK(check_range(field + ".guestPort", forward.guest_port(), 1, 65'535));
  if (!forward.host_address().empty() && !parse_ipv4(forward.host_address())) {
    return bad_field(field + ".hostAddress", "it is not an IPv4 address", "write it as \"10.66.0.10\"");
  }
  return {};
}

Checked check_nic(const v1::VmNic& nic, int index) {
  GANTRY_CHECK(check_reference(item("nics", index, "network"), nic.network()));
  if (!v1::VmNic::Model_IsValid(nic.model()))
    return bad_field(item("nics", index, "model"), "no such model", std::string(kSeeApi));
  if (!nic.mac().empty() && !parse_mac(nic.mac())) {
    return bad_field(item("nics", index, "mac"), "it is not a unicast MAC address",
                     "write it as \"52:54:00:12:34:56\"");
  }
  if (!nic.ipv4().empty() && !parse_ipv4(nic.ipv4())) {
    return bad_field(item("nics", index, "ipv4"), "it is not an IPv4 address", "write it as \"10.66.0.10\"");
  }
  GANTRY_CHECK(check_groups(item("nics", index, "securityGroups"), nic.security_groups()));
  if (nic.port_forwards_size() > kPortForwardsMax) {
    return bad_field(item("nics", index, "portForwards"), "there are more than " + std::to_string(kPortForwardsMax),
                     "leave some out");
  }
  for (int i = 0; i < nic.port_forwards_size(); ++i) {
    GANTRY_CHECK(check_forward(nic.port_forwards(i), item("nics", index, "portForwards[" + std::to_string(i) + "]")));
  }
  return {};
}

Checked check_cloud_init(const v1::CloudInit& cloud_init) {
  if (!cloud_init.host_name().empty()) {
    GANTRY_CHECK(check_dns_name("spec.cloudInit.hostName", cloud_init.host_name()));
  }
  const std::string& user = cloud_init.user();
  constexpr std::string_view kUserLetters = "abcdefghijklmnopqrstuvwxyz0123456789_-";
  const bool begins_well = user.empty() || user[0] == '_' || (user[0] >= 'a' && user[0] <= 'z');
  if (!begins_well || user.size() > 32 || user.find_first_not_of(kUserLetters) != std::string::npos) {
    return bad_field("spec.cloudInit.user", "it is not a Unix user's name",
                     "use up to 32 of a-z, 0-9, \"_\" and \"-\"");
  }
  if (cloud_init.ssh_authorized_keys_size() > 64) {
    return bad_field("spec.cloudInit.sshAuthorizedKeys", "there are more than 64", "leave some out");
  }
  for (const std::string& key : cloud_init.ssh_authorized_keys()) {
    GANTRY_CHECK(check_line("spec.cloudInit.sshAuthorizedKeys", key, 16U << 10U));
    if (key.find(' ') == std::string::npos) {
      return bad_field("spec.cloudInit.sshAuthorizedKeys", "one is not a line of a .pub file",
                       "give what \"cat ~/.ssh/id_ed25519.pub\" prints");
    }
  }
  return check_length("spec.cloudInit.userData", cloud_init.user_data(), kUserDataBytesMax);
}

Checked check_vm_spec(const v1::VmSpec& spec) {
  GANTRY_CHECK(check_reference("spec.image", spec.image()));
  GANTRY_CHECK(check_reference("spec.host", spec.host()));
  GANTRY_CHECK(check_cpu_model("spec.cpuModel", spec.cpu_model()));
  GANTRY_CHECK(check_labels(spec.host_labels(), "spec.hostLabels"));
  if (spec.cpus() != 0) GANTRY_CHECK(check_range("spec.cpus", spec.cpus(), 1, kCpusMax));
  if (spec.memory_mib() != 0) {
    GANTRY_CHECK(check_range("spec.memoryMib", spec.memory_mib(), kMemoryMibMin, kMemoryMibMax));
  }
  if (!v1::VmSpec::Firmware_IsValid(spec.firmware()))
    return bad_field("spec.firmware", "no such firmware", std::string(kSeeApi));
  if (!v1::VmSpec::Power_IsValid(spec.power()))
    return bad_field("spec.power", "no such power state", std::string(kSeeApi));
  GANTRY_CHECK(check_range("spec.stopTimeoutSeconds", spec.stop_timeout_seconds(), 0, kStopTimeoutSecondsMax));
  if (!spec.boot_id().empty() || !spec.reset_id().empty() || !spec.force_stop_id().empty() ||
      spec.stop_once_timeout_seconds() != 0 || !spec.lease_pool().empty() || spec.balloon()) {
    return bad_field("spec.bootId",
                     "bootId, resetId, forceStopId, stopOnceTimeoutSeconds, leasePool and balloon are set by Gantry",
                     "leave them out");
  }
  GANTRY_CHECK(check_devices(spec));
  if (spec.image().empty() && spec.disks().empty()) {
    return bad_field("spec.image", "there is neither an image nor a disk to boot from", "see \"gantry image list\"");
  }
  for (int i = 0; i < spec.disks_size(); ++i) GANTRY_CHECK(check_disk(spec.disks(i), i));
  for (int i = 0; i < spec.nics_size(); ++i) GANTRY_CHECK(check_nic(spec.nics(i), i));
  return check_cloud_init(spec.cloud_init());
}

// Of a move; 0: none is asked for.
Checked check_bandwidth(std::uint64_t bytes_per_second_max) {
  if (bytes_per_second_max == 0) return {};
  return check_range("bytesPerSecondMax", bytes_per_second_max, kMoveBytesPerSecondMin, kMoveBytesPerSecondMax);
}

}  // namespace

Checked check_cpu_model(std::string_view field, std::string_view model) {
  if (model.empty() || is_cpu_model(model)) return {};
  return bad_field(field, "it is not the name of a processor", "use one of a host's cpuModels: gantry host show NAME");
}

Checked check_devices(const v1::VmSpec& spec) {
  const auto too_many = [](const char* field, int count, const std::string& what, int max) {
    return bad_field(
        field,
        std::to_string(count) + " " + what + " are more than the " + std::to_string(max) + " that one VM can have",
        "leave some out");
  };
  if (spec.disks_size() > kDisksMax) return too_many("spec.disks", spec.disks_size(), "disks", kDisksMax);
  const auto is_sata = [](const v1::VmDisk& disk) { return disk.bus() == v1::VmDisk::SATA; };
  const auto sata = static_cast<int>(std::count_if(spec.disks().begin(), spec.disks().end(), is_sata));
  if (sata > kSataDisksMax) return too_many("spec.disks", sata, "SATA disks", kSataDisksMax);
  if (spec.nics_size() > kNicsMax) return too_many("spec.nics", spec.nics_size(), "NICs", kNicsMax);
  const int devices = spec.disks_size() + spec.nics_size();
  if (devices > kDevicesMax) return too_many("spec.disks", devices, "disks and NICs together", kDevicesMax);
  return {};
}

Checked validate(const v1::CreateVmRequest& request) {
  GANTRY_CHECK(check_name("name", request.name()));
  GANTRY_CHECK(check_labels(request.labels()));
  return check_vm_spec(request.spec());
}

Checked validate(const v1::StopVmRequest& request) {
  GANTRY_CHECK(check_reference("id", request.id(), true));
  return check_range("timeoutSeconds", request.timeout_seconds(), 0, kStopTimeoutSecondsMax);
}

Checked validate(const v1::MoveVmRequest& request) {
  GANTRY_CHECK(check_reference("id", request.id(), true));
  GANTRY_CHECK(check_reference("host", request.host(), false));
  GANTRY_CHECK(check_reference("pool", request.pool(), false));
  GANTRY_CHECK(check_range("downtimeMsMax", request.downtime_ms_max(), 0, kMoveDowntimeMsMax));
  GANTRY_CHECK(check_range("connections", request.connections(), 0, kMoveConnectionsMax));
  return check_bandwidth(request.bytes_per_second_max());
}

Checked validate(const v1::MoveVolumeRequest& request) {
  GANTRY_CHECK(check_reference("id", request.id(), true));
  GANTRY_CHECK(check_reference("pool", request.pool(), true));
  return check_bandwidth(request.bytes_per_second_max());
}

Checked validate(const v1::DeleteVmRequest& request) { return check_reference("id", request.id(), true); }

}  // namespace gantry::model
