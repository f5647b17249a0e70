// The directory of one guest, STATE/vms/<vm_id>, and what is in it:
//   record.json    what is durably known (GuestRecord)
//   lock           locked (flock) by the QEMU process itself as long as it lives: it inherits the locked descriptor, so
//                  there can never be two, whatever crashes
//   qmp.sock sentinel.sock serial.sock agent.sock   made by the daemon, for its user alone; served by QEMU
//   console.log    what the serial port said
//   error.log      what QEMU wrote to its error output
//   variables.fd   UEFI variables
//   tpm.log        what swtpm wrote
//   run/           the only place where QEMU may make files: vnc.sock
// The directory itself belongs to the daemon, so a guest that took over its QEMU can exchange no file under our hands.
// Functions block for the file system: call them on a worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "qemu/guest_record.h"

namespace gantry::qemu {

class GuestDirectory {
 public:
  GuestDirectory(const std::string& state_directory, const std::string& vm_id);

  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }
  [[nodiscard]] std::string qmp_socket() const { return file("qmp.sock"); }
  [[nodiscard]] std::string sentinel_socket() const { return file("sentinel.sock"); }
  [[nodiscard]] std::string serial_socket() const { return file("serial.sock"); }
  [[nodiscard]] std::string agent_socket() const { return file("agent.sock"); }
  [[nodiscard]] std::string vnc_socket() const { return file("run/vnc.sock"); }
  [[nodiscard]] std::string console_log() const { return file("console.log"); }
  [[nodiscard]] std::string error_log() const { return file("error.log"); }
  [[nodiscard]] std::string tpm_log() const { return file("tpm.log"); }
  [[nodiscard]] std::string firmware_variables() const { return file("variables.fd"); }

  // The directory, its run/ and empty logs. `uid` 0: the daemon's own.
  Result<void> prepare(std::uint32_t uid) const;
  // The guest's own copy of the UEFI variables, unless it has one.
  Result<void> prepare_firmware(const std::string& pristine, std::uint32_t uid) const;
  // conflict when a QEMU process of this guest lives. Waits a moment for one that is about to go.
  [[nodiscard]] Result<UniqueFd> lock() const;

  Result<void> save(const GuestRecord& record) const;
  // not_found when there is none.
  [[nodiscard]] Result<GuestRecord> load() const;
  // The last 64 KiB.
  [[nodiscard]] std::string error_output() const;
  [[nodiscard]] std::string console_tail(std::size_t bytes) const;
  // Cuts all logs to their last 64 KiB when they are larger than a MiB.
  void trim_logs() const;
  Result<void> remove() const;

 private:
  std::string path_;
};

// The ids of all guests that have a directory. An error says nothing of which there are.
Result<std::vector<std::string>> guests_in(const std::string& state_directory);

}  // namespace gantry::qemu
