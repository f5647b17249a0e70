#include "app/sentinel/pair.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "app/sentinel/keeper.h"
#include "qemu/process_facts.h"
#include "runtime/files.h"
#include "runtime/process.h"
#include "runtime/report.h"

namespace gantry::sentinel {
namespace {

// The path, so that a newer version that was installed over it takes over one day. The kernel marks one that was
// replaced since this process began.
std::string own_program() {
  constexpr std::string_view kReplaced = " (deleted)";
  std::error_code error;
  std::string path = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (path.ends_with(kReplaced)) path.resize(path.size() - kReplaced.size());
  return path;
}

// A copy that is in no place the new process uses.
UniqueFd lifted(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 64)); }

Result<pid_t> spawn_partner(const std::string& program, const std::string& state_directory, const SharedFiles& files,
                            const UniqueFd& socket) {
  const std::array<UniqueFd, 3> sources = {lifted(files.lock.get()), lifted(files.listener.get()),
                                           lifted(socket.get())};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  int place = kLockDescriptor;
  for (const UniqueFd& source : sources) ::posix_spawn_file_actions_adddup2(&actions, source.get(), place++);
  std::error_code error;
  // One that is being replaced on disk just now.
  const std::string path = std::filesystem::exists(program, error) ? program : "/proc/self/exe";
  std::vector<std::string> arguments = {path, "--state-dir", state_directory, "--stand-by"};
  std::vector<std::string> environment = {"LC_ALL=C"};
  const auto argv = runtime::pointers(arguments);
  const auto envp = runtime::pointers(environment);
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid, path.c_str(), &actions, nullptr, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return fail(runtime::errno_error("cannot start the second process of the sentinel", failed));
  return pid;
}

}  // namespace

Partner::Partner(runtime::EventLoop& loop, const SharedFiles& files, std::string state_directory)
    : loop_(loop), files_(files), state_directory_(std::move(state_directory)), program_(own_program()) {
  start();
}

void Partner::start() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return runtime::report_problem("the sentinel cannot make a socket for its second process; it tries again");
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  const auto pid = spawn_partner(program_, state_directory_, files_, theirs);
  if (!pid) return runtime::report_problem(pid.error().to_text());
  if (auto pidfd = qemu::open_pidfd(*pid)) pidfd_ = std::move(*pidfd);
  missed_ = 0;
  stream_ = qemu::open_stream(loop_, std::move(ours),
                              {.on_bytes = [this](std::string_view) { missed_ = 0; }, .on_closed = [this] { lose(); }});
  if (!last_.empty()) stream_->send(last_);
}

void Partner::lose() {
  if (stream_) stream_->close();
  stream_.reset();
  if (pidfd_.valid()) qemu::send_signal(pidfd_, SIGKILL);
  pidfd_.reset();
}

void Partner::tell(const Handover& handover) {
  std::string line = to_line(handover);
  if (line == last_) return;
  last_ = std::move(line);
  if (stream_) stream_->send(last_);
}

void Partner::beat() {
  if (stream_ && ++missed_ > kHeartbeatsMissedMax) {
    runtime::report_problem("the second process of the sentinel hangs; it is replaced");
    lose();
  }
  if (!stream_) return start();
  stream_->send("\n");
}

// ---- the other side

namespace {

// What was removed is no guard, though a guest that came back has another by its name.
bool is_there(const UniqueFd& guard) {
  struct stat info {};
  return guard.valid() && ::fstat(guard.get(), &info) == 0 && info.st_nlink > 0;
}

// Holds what the partner holds, so that its death frees no guard. Makes none: what the partner said may be late, and
// the guard removed since.
void hold_guards(const Handover& handover, const std::string& state_directory,
                 std::map<std::string, UniqueFd>& guards) {
  std::map<std::string, UniqueFd> now;
  for (const Ward& ward : handover.wards) {
    const std::string& vm_id = ward.wish.vm_id;
    if (!ward.guarded) continue;
    if (is_there(guards[vm_id])) {
      now[vm_id] = std::move(guards[vm_id]);
    } else if (auto held = open_guard(guard_path(state_directory, vm_id))) {
      now[vm_id] = std::move(*held);
    }
  }
  guards = std::move(now);
}

UniqueFd process_at(const UniqueFd& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
  auto pidfd = qemu::open_pidfd(peer.pid);
  return pidfd ? std::move(*pidfd) : UniqueFd();
}

}  // namespace

std::optional<Inheritance> stand_by(const UniqueFd& partner, const std::string& state_directory) {
  const UniqueFd process = process_at(partner);
  std::map<std::string, UniqueFd> guards;
  Handover handover;
  Lines lines;
  int missed = 0;
  while (missed <= kHeartbeatsMissedMax) {
    pollfd ready{.fd = partner.get(), .events = POLLIN, .revents = 0};
    const int count = ::poll(&ready, 1, static_cast<int>(kHeartbeatMs));
    // If it hangs it does not read either, and nothing here may wait for it.
    ::send(partner.get(), "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) {
      // Counted by own waits: after a sleep of the whole machine it was as late as the other.
      ++missed;
      continue;
    }
    std::array<char, 65536> bytes{};
    const ssize_t size = ::recv(partner.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size <= 0) break;
    missed = 0;
    bool ends = false;
    lines.add(std::string_view(bytes.data(), static_cast<std::size_t>(size)), [&](std::string_view line) {
      if (line.empty()) return;
      auto told = parse_handover(line);
      if (!told) return;
      handover = std::move(*told);
      ends = handover.end;
      hold_guards(handover, state_directory, guards);
    });
    if (ends) return std::nullopt;
  }
  runtime::report_problem("the serving process of the sentinel is gone or hangs; this one goes on in its place");
  if (process.valid()) qemu::send_signal(process, SIGKILL);
  return Inheritance{std::move(handover), std::move(guards)};
}

}  // namespace gantry::sentinel
