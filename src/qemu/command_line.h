// What QEMU is started with: a pure function of the guest's definition. Text that users or guests choose reaches QEMU
// only inside JSON strings, as whole arguments, or checked; it can never add an option.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "port/hypervisor.h"
#include "qemu/disk_nodes.h"

namespace gantry::qemu {

// The id of a guest's balloon device.
inline constexpr const char* kBalloon = "balloon";

// Descriptors as QEMU will have them. The sockets listen already, so nobody ever waits for QEMU to make them.
struct GuestDescriptors {
  int qmp = -1;
  // A second control socket, for the sentinel.
  int sentinel = -1;
  int serial = -1;
  int agent = -1;
  // Only with a TPM.
  int tpm = -1;
  // One for each NIC with a tap, in the NICs' order.
  std::vector<int> taps;
  // For each disk in Ceph, by its position, a file with the key.
  std::map<std::size_t, int> keys;
};

struct CommandLineRequest {
  port::GuestDefinition guest;
  std::string emulator;
  bool kvm = false;
  GuestDescriptors descriptors;
  // What the serial port says is appended to it.
  std::string console_log;
  std::string vnc_socket;
  // UEFI: the firmware's code and this guest's own copy of its variables.
  std::string firmware_code;
  std::string firmware_variables;
  // The guest comes from another host.
  bool incoming = false;
  // For each disk; of one that lacks it nothing is known.
  std::vector<DiskAccess> access;
};

Result<std::vector<std::string>> make_command_line(const CommandLineRequest& request);

// The guest's SMBIOS UUID: always the same for one VM.
std::string guest_uuid(std::string_view vm_id);

}  // namespace gantry::qemu
