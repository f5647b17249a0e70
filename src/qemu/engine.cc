#include "qemu/engine.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "qemu/cgroup.h"
#include "qemu/command_line.h"
#include "qemu/disk_nodes.h"
#include "qemu/event_io.h"
#include "qemu/exit_cause.h"
#include "qemu/guest_directory.h"
#include "qemu/launcher.h"
#include "qemu/process_facts.h"
#include "qemu/tpm.h"
#include "runtime/files.h"
#include "runtime/report.h"

namespace gantry::qemu {
namespace {

constexpr std::size_t kConsoleTail = 64U << 10U;

// Opened by us, so that the guest's user needs no right on /dev/net/tun. EBUSY: another QEMU has it.
Result<UniqueFd> open_tap(const std::string& name) {
  UniqueFd tap(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!tap.valid()) return fail(runtime::errno_error("cannot open /dev/net/tun", errno));
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name) return fail(ErrorCode::invalid_argument, "no tap can be named " + name);
  std::copy(name.begin(), name.end(), request.ifr_name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) {
    return fail(runtime::errno_error("cannot open the tap " + name, errno));
  }
  return tap;
}

Result<UniqueFd> open_guard(const std::string& path) {
  if (path.empty()) return UniqueFd();
  UniqueFd guard(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (guard.valid()) return guard;
  return fail(not_guarded("cannot open the sentinel's guard " + path, errno));
}

// The group that may use KVM where not everybody may.
std::uint32_t kvm_group(const EngineOptions& options) {
  struct stat facts {};
  if (options.accelerator != "kvm" || ::stat("/dev/kvm", &facts) != 0) return 0;
  return (facts.st_mode & 0006U) == 0006U ? 0 : facts.st_gid;
}

struct Prepared {
  LaunchRequest launch;
  // Its own end; not valid: it has none.
  UniqueFd tpm;
  UniqueFd qmp;
  UniqueFd serial;
};

// Makes a listening socket, keeps it for QEMU and answers its number there.
Result<int> add_socket(Prepared& prepared, const std::string& path) {
  auto socket = listen_unix(path);
  if (!socket) return fail(socket.error());
  prepared.launch.descriptors.push_back(std::move(*socket));
  return kFirstDescriptor + static_cast<int>(prepared.launch.descriptors.size()) - 1;
}

Result<void> add_sockets(Prepared& prepared, const GuestDirectory& directory, GuestDescriptors& descriptors) {
  const std::pair<std::string, int*> sockets[] = {{directory.qmp_socket(), &descriptors.qmp},
                                                  {directory.sentinel_socket(), &descriptors.sentinel},
                                                  {directory.serial_socket(), &descriptors.serial},
                                                  {directory.agent_socket(), &descriptors.agent}};
  for (const auto& [path, number] : sockets) {
    auto added = add_socket(prepared, path);
    if (!added) return fail(added.error());
    *number = *added;
  }
  auto qmp = connect_unix(directory.qmp_socket());
  auto serial = connect_unix(directory.serial_socket());
  if (!qmp || !serial) return fail(qmp ? serial.error() : qmp.error());
  prepared.qmp = std::move(*qmp);
  prepared.serial = std::move(*serial);
  return {};
}

Result<void> add_taps(Prepared& prepared, const port::GuestDefinition& guest, GuestDescriptors& descriptors) {
  for (const auto& nic : guest.nics) {
    if (nic.tap.empty()) continue;
    auto tap = open_tap(nic.tap);
    if (!tap) return fail(tap.error());
    prepared.launch.descriptors.push_back(std::move(*tap));
    descriptors.taps.push_back(kFirstDescriptor + static_cast<int>(prepared.launch.descriptors.size()) - 1);
  }
  return {};
}

Result<void> add_tpm(Prepared& prepared, const port::GuestDefinition& guest, GuestDescriptors& descriptors) {
  if (guest.tpm_directory.empty()) return {};
  auto socket = make_tpm_socket();
  if (!socket) return fail(socket.error());
  prepared.launch.descriptors.push_back(std::move(socket->for_qemu));
  descriptors.tpm = kFirstDescriptor + static_cast<int>(prepared.launch.descriptors.size()) - 1;
  prepared.tpm = std::move(socket->for_tpm);
  return {};
}

// A file without a name that holds the key: whoever has the descriptor can read it.
Result<UniqueFd> make_key_file(const std::string& key) {
  UniqueFd file(::memfd_create("disk-key", MFD_CLOEXEC));
  if (!file.valid() || ::write(file.get(), key.data(), key.size()) != static_cast<ssize_t>(key.size())) {
    return fail(runtime::errno_error("cannot give QEMU the key of a disk", errno));
  }
  return file;
}

Result<void> add_disks(Prepared& prepared, const port::GuestDefinition& guest, CommandLineRequest& request) {
  for (std::size_t i = 0; i < guest.disks.size(); ++i) {
    auto access = find_access(guest.disks[i]);
    if (!access) return fail(access.error());
    if (!access->key.empty()) {
      auto key = make_key_file(access->key);
      if (!key) return fail(key.error());
      prepared.launch.descriptors.push_back(std::move(*key));
      request.descriptors.keys[i] = kFirstDescriptor + static_cast<int>(prepared.launch.descriptors.size()) - 1;
    }
    request.access.push_back(std::move(*access));
  }
  return {};
}

Result<Prepared> prepare(const EngineOptions& options, const GuestDirectory& directory,
                         const port::GuestDefinition& guest, bool incoming) {
  if (auto made = directory.prepare(guest.uid); !made) return fail(made.error());
  if (guest.uefi) {
    if (auto made = directory.prepare_firmware(options.firmware_variables, guest.uid); !made) return fail(made.error());
  }
  Prepared prepared;
  CommandLineRequest request;
  request.guest = guest;
  request.incoming = incoming;
  request.emulator = options.emulator;
  request.kvm = options.accelerator == "kvm";
  request.console_log = directory.console_log();
  request.vnc_socket = directory.vnc_socket();
  request.firmware_code = options.firmware_code;
  request.firmware_variables = directory.firmware_variables();
  if (auto added = add_disks(prepared, guest, request); !added) return fail(added.error());
  if (auto added = add_sockets(prepared, directory, request.descriptors); !added) return fail(added.error());
  if (auto added = add_taps(prepared, guest, request.descriptors); !added) return fail(added.error());
  if (auto added = add_tpm(prepared, guest, request.descriptors); !added) return fail(added.error());
  auto arguments = make_command_line(request);
  if (!arguments) return fail(arguments.error());
  prepared.launch.argv = std::move(*arguments);
  prepared.launch.error_output = UniqueFd(::open(directory.error_log().c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  auto guard = open_guard(guest.guard);
  if (!guard) return fail(guard.error());
  prepared.launch.guard = std::move(*guard);
  prepared.launch.uid = guest.uid;
  prepared.launch.extra_group = kvm_group(options);
  return prepared;
}

// The process is in its cgroup and written down before it becomes QEMU.
Result<void> run(const Engine& engine, const GuestDirectory& directory, const port::GuestDefinition& guest,
                 Prepared prepared, GuestProcess& started) {
  auto process = GatedProcess::make(std::move(prepared.launch));
  if (!process) return fail(process.error());
  // Where no group can be made (the host's facts say why) the guest runs without.
  if (auto made = engine.cgroups.make_for_guest(guest.vm_id, guest.cpus, guest.memory_mib); !made) {
    runtime::report_problem("virtual machine " + guest.vm_id + " runs without limits: " + made.error().to_text());
  } else {
    if (auto joined = engine.cgroups.join(guest.vm_id, process->pid()); !joined) return fail(joined.error());
  }
  if (prepared.tpm.valid()) {
    const TpmRequest tpm{.vm_id = guest.vm_id,
                         .program = engine.options.tpm_program,
                         .directory = guest.tpm_directory,
                         .log = directory.tpm_log(),
                         .uid = guest.uid,
                         .incoming = started.record.phase == GuestRecord::Phase::receiving};
    auto running = start_tpm(tpm, std::move(prepared.tpm), engine.cgroups);
    if (!running) return fail(running.error());
    started.tpm = std::move(*running);
  }
  const auto facts = process_facts(process->pid());
  if (!facts) return fail(ErrorCode::internal, "cannot see the QEMU process in /proc");
  GuestRecord& record = started.record;
  record.pid = process->pid();
  record.pid_start_ticks = facts->start_ticks;
  record.machine_boot_id = machine_boot_id();
  if (auto saved = directory.save(record); !saved) return fail(saved.error());
  if (auto released = process->release(); !released) {
    // It never became QEMU: nobody is to look for it.
    std::remove(directory.file("record.json").c_str());
    return fail(released.error());
  }
  started.pidfd = process->take_pidfd();
  return {};
}

// Not valid: it is gone.
Result<UniqueFd> process_of(const GuestRecord& record) {
  const std::string machine = machine_boot_id();
  if (machine.empty()) return fail(ErrorCode::unavailable, "cannot tell this boot of the machine from earlier ones");
  if (record.pid <= 0 || record.machine_boot_id != machine) return UniqueFd();
  auto pidfd = open_pidfd(record.pid);
  // Asked after the pidfd was opened, so that both speak of the same process.
  const auto facts = process_facts(record.pid);
  const bool other =
      facts && (facts->start_ticks != record.pid_start_ticks || facts->state == 'Z' || facts->state == 'X');
  if (other || (::kill(record.pid, 0) != 0 && errno == ESRCH)) return UniqueFd();
  if (!facts) return fail(ErrorCode::unavailable, "cannot see process " + std::to_string(record.pid) + " in /proc");
  return pidfd;
}

// Nothing: there is none, and no process that it would be of.
Result<std::optional<GuestRecord>> load_record(const GuestDirectory& directory, const std::string& vm_id) {
  auto record = directory.load();
  if (record && record->vm_id != vm_id) {
    record = fail(ErrorCode::corrupt, "a guest's record on disk is damaged", "it names another guest");
  }
  if (record) return std::move(*record);
  Error error = record.error();
  if (error.code == ErrorCode::not_found) return std::nullopt;
  if (error.code == ErrorCode::corrupt) {
    // Without its words nothing can be said of its exit; it matters only while its process may live.
    if (directory.lock()) return std::nullopt;
    error.next_step = "shut the guest down from within, or end its QEMU process";
  }
  return fail(std::move(error));
}

// That it had ended before is known from QEMU's words, although nobody was there to write it down.
bool lost_with_machine(const GuestRecord& record, const std::string& error_output) {
  const std::string machine = machine_boot_id();
  if (record.machine_boot_id.empty() || machine.empty() || record.machine_boot_id == machine) return false;
  return judge_exit({.error_output = error_output, .forced = record.forced, .ran = true}).reason() !=
             v1::VmExit::GUEST_SHUTDOWN &&
         !record.forced;
}

}  // namespace

Result<GuestProcess> launch_guest(const Engine& engine, const port::GuestDefinition& guest, const std::string& reset_id,
                                  bool incoming, const Now& now) {
  const GuestDirectory directory(engine.options.state_directory, guest.vm_id);
  // QEMU's user passes through it.
  if (auto made = runtime::make_directories(engine.options.state_directory + "/vms", 0711); !made) {
    return fail(made.error());
  }
  if (auto made = runtime::make_directories(directory.file(""), 0711); !made) return fail(made.error());
  auto lock = directory.lock();
  if (!lock) return fail(lock.error());
  auto prepared = prepare(engine.options, directory, guest, incoming);
  if (!prepared) return fail(prepared.error());
  prepared->launch.descriptors.push_back(std::move(*lock));
  GuestProcess process{.record = {.vm_id = guest.vm_id, .boot_id = guest.boot_id},
                       .pidfd = {},
                       .qmp = std::move(prepared->qmp),
                       .serial = std::move(prepared->serial),
                       .tpm = {}};
  GuestRecord& record = process.record;
  if (incoming) record.phase = GuestRecord::Phase::receiving;
  record.accelerator = engine.options.accelerator;
  record.started_unix_ms = guest.started_unix_ms != 0 ? guest.started_unix_ms : now.unix_ms;
  record.cpus = guest.cpus;
  record.memory_mib = guest.memory_mib;
  record.reset_id = reset_id;
  if (auto runs = run(engine, directory, guest, std::move(*prepared), process); !runs) {
    // The next attempt uses it again.
    [[maybe_unused]] const auto removed = engine.cgroups.remove(guest.vm_id);
    return fail(runs.error());
  }
  return process;
}

Result<FoundGuest> find_guest(const Engine& engine, const std::string& vm_id, const Now& now) {
  const GuestDirectory directory(engine.options.state_directory, vm_id);
  FoundGuest found;
  auto record = load_record(directory, vm_id);
  if (!record) return fail(record.error());
  found.record = std::move(*record);
  if (!found.record || found.record->phase == GuestRecord::Phase::ended) return found;
  auto pidfd = process_of(*found.record);
  if (!pidfd) return fail(pidfd.error());
  if (pidfd->valid()) {
    directory.trim_logs();
    found.console_tail = directory.console_tail(kConsoleTail);
    if (auto qmp = connect_unix(directory.qmp_socket())) found.qmp = std::move(*qmp);
    if (auto serial = connect_unix(directory.serial_socket())) found.serial = std::move(*serial);
    found.pidfd = std::move(*pidfd);
    return found;
  }
  // The machine was rebooted or lost power under it: it did not end by itself, and may begin again. To begin again does
  // a reset that was under way, too.
  if (lost_with_machine(*found.record, directory.error_output())) {
    const bool resetting = found.record->phase == GuestRecord::Phase::resetting && !found.record->reset_given_up;
    GuestRecord over{.vm_id = vm_id, .boot_id = {}, .phase = GuestRecord::Phase::ended};
    over.reset_id = resetting ? found.record->reset_wanted : found.record->reset_id;
    over.disk_copy = found.record->disk_copy;
    found.record = std::move(over);
    return found;
  }
  const bool ran = tells_of_running(directory.error_output());
  const bool began = found.record->phase == GuestRecord::Phase::receiving
                         ? ran
                         : found.record->phase != GuestRecord::Phase::starting || found.record->forced || ran;
  if (began) {
    found.record = settle_exit(engine, std::move(*found.record), UniqueFd(), now);
  } else {
    std::remove(directory.file("record.json").c_str());
    found.record.reset();
  }
  return found;
}

GuestRecord settle_exit(const Engine& engine, GuestRecord record, const UniqueFd& pidfd, const Now& now,
                        const std::string& cause) {
  const GuestDirectory directory(engine.options.state_directory, record.vm_id);
  ExitEvidence evidence{.error_output = directory.error_output(), .forced = record.forced};
  evidence.ran = record.phase != GuestRecord::Phase::starting;
  if (pidfd.valid()) evidence.wait_status = reap(pidfd);
  record.exit = judge_exit(evidence);
  if (!cause.empty()) record.exit.set_last_words(cause);
  record.exit.set_boot_id(record.boot_id);
  record.exit.mutable_at()->set_seconds(now.unix_ms / 1000);
  record.phase = GuestRecord::Phase::ended;
  // If it cannot be written now, the next agent finds the same evidence; a cgroup left over is used again.
  [[maybe_unused]] const auto saved = directory.save(record);
  [[maybe_unused]] const auto removed = engine.cgroups.remove(record.vm_id);
  return record;
}

}  // namespace gantry::qemu
