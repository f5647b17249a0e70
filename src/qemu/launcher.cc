#include "qemu/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "qemu/process_facts.h"
#include "runtime/files.h"
#include "runtime/process.h"

namespace gantry::qemu {
namespace {

// What the child needs, made before the fork: afterwards it may call only async-signal-safe functions.
struct ChildPlan {
  char* const* argv;
  char* const* envp;
  const int* descriptors;
  int descriptor_count;
  int null_input;
  int error_output;
  int gate;
  int failure;
  int guard;
  uid_t uid;
  gid_t extra_group;
};

// The step that failed, and why.
struct ChildFailure {
  enum class Step { privileges, descriptors, guard, exec };
  Step step;
  int error_number;
};

[[noreturn]] void give_up(int failure_fd, ChildFailure::Step step) {
  const ChildFailure failure{step, errno};
  const ssize_t ignored = ::write(failure_fd, &failure, sizeof failure);
  ::_exit(ignored == sizeof failure ? 126 : 125);
}

void reset_signals() {
  struct sigaction normal {};
  normal.sa_handler = SIG_DFL;
  for (int signal = 1; signal < 65; ++signal) ::sigaction(signal, &normal, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Raw system calls: the C library's own would speak to threads that this process does not have.
bool drop_privileges(uid_t uid, gid_t extra_group) {
  if (uid != 0) {
    // The bounding set must go while CAP_SETPCAP is still there. EINVAL: past the last capability.
    for (int capability = 0; capability < 64; ++capability) {
      if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) return false;
    }
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return false;
    if (::syscall(SYS_setgroups, extra_group != 0 ? 1 : 0, &extra_group) != 0 ||
        ::syscall(SYS_setresgid, uid, uid, uid) != 0 || ::syscall(SYS_setresuid, uid, uid, uid) != 0) {
      return false;
    }
  }
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

// All sources lie above the places they go to (see lifted()). Everything else is closed: a copy of another process's
// gate, kept here, would let that one wait for ever after the daemon died.
bool place_descriptors(const ChildPlan& plan, int& gate, int& failure, int& guard) {
  if (::dup2(plan.null_input, 0) < 0 || ::dup2(plan.error_output, 1) < 0 || ::dup2(plan.error_output, 2) < 0) {
    return false;
  }
  int next = kFirstDescriptor;
  for (int i = 0; i < plan.descriptor_count; ++i) {
    if (::dup2(plan.descriptors[i], next++) < 0) return false;
  }
  if (guard >= 0 && ::dup2(plan.guard, guard = next++) < 0) return false;
  gate = next++;
  if (::dup3(plan.gate, gate, O_CLOEXEC) < 0 || ::dup3(plan.failure, next, O_CLOEXEC) < 0) return false;
  failure = next++;
  return ::syscall(SYS_close_range, next, ~0U, 0) == 0;
}

// From now on the kernel freezes this process when the last writer is gone. Nobody can be missed: whoever went before
// is seen by the end of the file.
bool arm_guard(int guard) {
  if (::fcntl(guard, F_SETSIG, SIGSTOP) != 0 || ::fcntl(guard, F_SETOWN, ::getpid()) != 0 ||
      ::fcntl(guard, F_SETFL, O_NONBLOCK | O_ASYNC) != 0) {
    return false;
  }
  char nothing = 0;
  if (::read(guard, &nothing, 1) < 0) return errno == EAGAIN;
  errno = ESRCH;
  return false;
}

[[noreturn]] void become_program(const ChildPlan& plan) {
  ::setsid();
  int gate = plan.gate;
  int failure = plan.failure;
  int guard = plan.guard;
  if (!place_descriptors(plan, gate, failure, guard)) give_up(failure, ChildFailure::Step::descriptors);
  char go = 0;
  ssize_t count = 0;
  while ((count = ::read(gate, &go, 1)) < 0 && errno == EINTR) {
  }
  if (count != 1) ::_exit(0);
  runtime::take_ordinary_oom_score();
  reset_signals();
  if (guard >= 0 && !arm_guard(guard)) give_up(failure, ChildFailure::Step::guard);
  ::umask(077);
  if (::chdir("/") != 0 || !drop_privileges(plan.uid, plan.extra_group))
    give_up(failure, ChildFailure::Step::privileges);
  ::execve(plan.argv[0], plan.argv, plan.envp);
  give_up(failure, ChildFailure::Step::exec);
}

// A copy with a number above all places in the child.
Result<UniqueFd> lifted(const UniqueFd& fd) {
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 200));
  if (!copy.valid()) return fail(runtime::errno_error("cannot pass a descriptor on", errno));
  return copy;
}

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(runtime::errno_error("cannot make a pipe", errno));
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  for (UniqueFd* end : {&pipe.read_end, &pipe.write_end}) {
    auto high = lifted(*end);
    if (!high) return fail(high.error());
    *end = std::move(*high);
  }
  return pipe;
}

Error exec_error(const ChildFailure& failure) {
  switch (failure.step) {
    case ChildFailure::Step::privileges:
      return runtime::errno_error("cannot give up rights for QEMU", failure.error_number);
    case ChildFailure::Step::descriptors:
      return runtime::errno_error("cannot prepare the QEMU process", failure.error_number);
    case ChildFailure::Step::guard:
      return not_guarded("the sentinel does not guard this virtual machine", failure.error_number);
    case ChildFailure::Step::exec: break;
  }
  Error error = runtime::errno_error("cannot run QEMU", failure.error_number);
  if (failure.error_number == ENOENT) {
    error.code = ErrorCode::unsupported;
    error.next_step = "install qemu-system-x86";
  }
  return error;
}

}  // namespace

Error not_guarded(const std::string& what, int error_number) {
  Error error = runtime::errno_error(what, error_number);
  error.next_step = "it is tried again; gantryd starts the sentinel where it is not there";
  error.reason = "not_guarded";
  return error;
}

Result<GatedProcess> GatedProcess::make(LaunchRequest request) {
  auto gate = make_pipe();
  auto failure = make_pipe();
  if (!gate || !failure) return fail(gate ? failure.error() : gate.error());
  std::vector<UniqueFd> sources;
  std::vector<int> numbers;
  for (const auto& descriptor : request.descriptors) {
    auto source = lifted(descriptor);
    if (!source) return fail(source.error());
    numbers.push_back(source->get());
    sources.push_back(std::move(*source));
  }
  const UniqueFd null_input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  auto input = lifted(null_input);
  auto output = lifted(request.error_output);
  if (!input || !output) return fail(input ? output.error() : input.error());

  UniqueFd guard;
  if (request.guard.valid()) {
    auto copy = lifted(request.guard);
    if (!copy) return fail(copy.error());
    guard = std::move(*copy);
  }

  std::vector<std::string> environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/", "TMPDIR=/tmp"};
  const auto argv = runtime::pointers(request.argv);
  const auto envp = runtime::pointers(environment);
  const ChildPlan plan{.argv = argv.data(),
                       .envp = envp.data(),
                       .descriptors = numbers.data(),
                       .descriptor_count = static_cast<int>(numbers.size()),
                       .null_input = input->get(),
                       .error_output = output->get(),
                       .gate = gate->read_end.get(),
                       .failure = failure->write_end.get(),
                       .guard = guard.get(),
                       .uid = request.uid,
                       .extra_group = request.extra_group};

  const pid_t pid = ::fork();
  if (pid < 0) return fail(runtime::errno_error("cannot start a process for QEMU", errno));
  if (pid == 0) become_program(plan);
  auto pidfd = open_pidfd(pid);
  if (!pidfd) {
    gate->write_end.reset();
    ::waitpid(pid, nullptr, 0);
    return fail(pidfd.error());
  }
  return GatedProcess(pid, std::move(*pidfd), std::move(gate->write_end), std::move(failure->read_end));
}

GatedProcess::GatedProcess(GatedProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      pidfd_(std::move(other.pidfd_)),
      gate_(std::move(other.gate_)),
      failure_(std::move(other.failure_)) {}

GatedProcess::~GatedProcess() {
  if (pid_ == 0 || !gate_.valid()) return;
  send_signal(pidfd_, SIGKILL);
  gate_.reset();
  ::waitpid(pid_, nullptr, 0);
}

Result<void> GatedProcess::release() {
  const char go = 1;
  if (::write(gate_.get(), &go, 1) != 1) return fail(runtime::errno_error("cannot start QEMU", errno));
  ChildFailure failure{};
  ssize_t count = 0;
  while ((count = ::read(failure_.get(), &failure, sizeof failure)) < 0 && errno == EINTR) {
  }
  failure_.reset();
  if (count == sizeof failure) return fail(exec_error(failure));  // the destructor reaps it
  gate_.reset();
  return {};
}

}  // namespace gantry::qemu
