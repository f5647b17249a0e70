// A guest's TPM 2.0: swtpm, a process of its own beside QEMU, as the guest's user and in its cgroup. QEMU speaks to it
// over a socket; when that closes, however QEMU ended, it ends too. A guest that moves has its TPM's state among its
// own: the process at the target begins with what QEMU gives it.
//
// Functions block for the file system: call them on a worker.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "qemu/cgroup.h"

namespace gantry::qemu {

struct TpmRequest {
  std::string vm_id;
  std::string program;
  // What it must not forget: made when it is missing; what it is in must be there.
  std::string directory;
  // Its words, since it was started last.
  std::string log;
  // 0: the daemon's own user.
  std::uint32_t uid = 0;
  // Its guest comes from another host, where another process may still have the directory: one that stands.
  bool incoming = false;
};

// The two ends of its socket.
struct TpmSocket {
  UniqueFd for_qemu;
  UniqueFd for_tpm;
};
Result<TpmSocket> make_tpm_socket();

// Its process, which runs then, in the guest's cgroup if that is there: whoever has it must reap it in the end.
Result<UniqueFd> start_tpm(const TpmRequest& request, UniqueFd socket, const Cgroups& cgroups);

}  // namespace gantry::qemu
