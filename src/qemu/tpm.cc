#include "qemu/tpm.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "qemu/launcher.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

// Passable, so that guests' users reach their own in it; without its parents, which say that the pool is there.
Result<void> make_directory(const std::string& path, mode_t mode) {
  // Whatever the daemon's own mask makes of it.
  if ((::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) && ::chmod(path.c_str(), mode) == 0) return {};
  return fail(runtime::errno_error("cannot make " + path + " for the TPM", errno));
}

Result<void> make_state_directory(const TpmRequest& request) {
  const std::string parent = std::filesystem::path(request.directory).parent_path();
  if (auto made = make_directory(parent, 0711); !made) return made;
  if (auto made = make_directory(request.directory, 0700); !made) return made;
  if (request.uid != 0 && ::lchown(request.directory.c_str(), request.uid, request.uid) != 0) {
    return fail(runtime::errno_error("cannot give " + request.directory + " to the guest's user", errno));
  }
  return {};
}

}  // namespace

Result<TpmSocket> make_tpm_socket() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail(runtime::errno_error("cannot make a socket for the TPM", errno));
  }
  return TpmSocket{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<UniqueFd> start_tpm(const TpmRequest& request, UniqueFd socket, const Cgroups& cgroups) {
  // A comma ends a value in what swtpm is told.
  if (request.directory.find(',') != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "the TPM of virtual machine " + request.vm_id + " cannot be started",
                "there is a comma in " + request.directory, "keep the VM's disks in a pool without one in its path");
  }
  if (auto made = make_state_directory(request); !made) return fail(made.error());
  // swtpm 0.7 keeps its lock until it ends, on a file that the next one may make anew. What guards the state is the
  // lease of the guest: without it neither process is asked anything.
  if (request.incoming) ::unlink((request.directory + "/.lock").c_str());
  LaunchRequest launch;
  launch.argv = {request.program, "socket",
                 "--tpm2",        "--terminate",
                 "--ctrl",        "type=unixio,clientfd=" + std::to_string(kFirstDescriptor),
                 "--tpmstate",    "dir=" + request.directory + ",mode=0600"};
  launch.descriptors.push_back(std::move(socket));
  launch.error_output =
      UniqueFd(::open(request.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!launch.error_output.valid()) return fail(runtime::errno_error("cannot open " + request.log, errno));
  launch.uid = request.uid;
  auto process = GatedProcess::make(std::move(launch));
  if (!process) return fail(process.error());
  // Without a group the guest runs without limits, too.
  [[maybe_unused]] const auto joined = cgroups.join(request.vm_id, process->pid());
  auto released = process->release();
  if (released) return process->take_pidfd();
  Error error = released.error();
  error.summary = "the TPM of virtual machine " + request.vm_id + " cannot be started: " + error.summary;
  if (error.code == ErrorCode::unsupported) error.next_step = "install swtpm";
  return fail(std::move(error));
}

}  // namespace gantry::qemu
