#include "runtime/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/unique_fd.h"
#include "runtime/clock.h"

namespace gantry::runtime {
namespace {

constexpr int kMissingProgram = 127;
constexpr int kPollMs = 50;

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(ErrorCode::unavailable, "cannot start a helper program", std::strerror(errno));
  }
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::vector<std::string> make_environment(const ProcessRequest& request) {
  std::vector<std::string> environment = {"LC_ALL=C"};
  for (const char* name : {"PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy"}) {
    if (const char* value = std::getenv(name)) environment.push_back(std::string(name) + "=" + value);
  }
  if (std::getenv("PATH") == nullptr) environment.emplace_back("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
  environment.insert(environment.end(), request.environment.begin(), request.environment.end());
  return environment;
}

struct ChildPlan {
  char* const* argv;
  char* const* envp;
  std::uint32_t uid;
  pid_t parent;
  int in;
  int out;
  int err;
};

bool take_user(std::uint32_t uid) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(uid, uid, uid) == 0 && ::setresuid(uid, uid, uid) == 0 &&
         ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

// Between fork and exec: only calls that are safe there.
[[noreturn]] void exec_child(const ChildPlan& plan) {
  ::setpgid(0, 0);
  take_ordinary_oom_score();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::dup2(plan.in, 0);
  ::dup2(plan.out, 1);
  ::dup2(plan.err, 2);
  // Libraries open descriptors that an exec does not close, Asio its sockets: one left to a helper would keep the
  // daemon's port taken after the daemon's end.
  if (::close_range(3, ~0U, 0) != 0 || (plan.uid != 0 && !take_user(plan.uid))) ::_exit(kMissingProgram - 1);
  // Another user's process forgets this, hence after the change; and the daemon may have died before it counted. It is
  // the thread that matters: the one that forked us waits for us.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(kMissingProgram - 1);
  ::execvpe(plan.argv[0], plan.argv, plan.envp);
  ::_exit(kMissingProgram);
}

// The program while it runs. Whatever happens, its process group is gone and reaped when this is.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid), pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { end(); }

  // Becomes readable when the program has ended.
  [[nodiscard]] const UniqueFd& pidfd() const { return pidfd_; }

  // Ends what is left of it and its group, and answers its wait status. The group goes first: its number may belong to
  // others once the program is reaped.
  int end() {
    if (pid_ <= 0) return 0;
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return status;
  }

 private:
  pid_t pid_;
  UniqueFd pidfd_;
};

// Moves bytes between us and the program until it closed its ends and ended, the time is over or somebody cancels.
class Exchange {
 public:
  Exchange(const ProcessRequest& request, const UniqueFd& pidfd, UniqueFd in, UniqueFd out, UniqueFd err)
      : request_(request), pidfd_(pidfd), in_(std::move(in)), out_(std::move(out)), err_(std::move(err)) {
    for (const int fd : {in_.get(), out_.get(), err_.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
    if (request_.input.empty()) in_.reset();
  }

  Result<void> run() {
    const Milliseconds deadline_ms = real_now().monotonic_ms + request_.timeout_ms;
    while (out_.valid() || err_.valid() || !ended_) {
      if (request_.cancel && request_.cancel->load()) {
        return fail(ErrorCode::cancelled, request_.argv[0] + " was cancelled");
      }
      if (real_now().monotonic_ms > deadline_ms) {
        return fail(ErrorCode::timed_out, request_.argv[0] + " took too long",
                    "it did not end within " + std::to_string(request_.timeout_ms / 1000) + " s");
      }
      poll_once();
    }
    return {};
  }

  ProcessOutput output;

 private:
  void poll_once() {
    // Whoever has its output open may say more, although the program itself has ended.
    const int pidfd = out_.valid() || err_.valid() ? -1 : pidfd_.get();
    std::array<pollfd, 4> fds{pollfd{in_.get(), POLLOUT, 0}, pollfd{out_.get(), POLLIN, 0},
                              pollfd{err_.get(), POLLIN, 0}, pollfd{pidfd, POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), kPollMs) <= 0) return;
    if (fds[0].revents != 0) feed();
    if (fds[1].revents != 0) drain(out_, output.out, true);
    if (fds[2].revents != 0) drain(err_, output.err, false);
    ended_ = fds[3].revents != 0;
  }

  void feed() {
    const ssize_t count = ::write(in_.get(), request_.input.data() + fed_, request_.input.size() - fed_);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count > 0) fed_ += static_cast<std::size_t>(count);
    if (count < 0 || fed_ == request_.input.size()) in_.reset();
  }

  void drain(UniqueFd& fd, std::string& into, bool tell) {
    std::array<char, 16384> buffer{};
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      fd.reset();
      return;
    }
    const std::string_view piece(buffer.data(), static_cast<std::size_t>(count));
    if (into.size() < request_.output_bytes_max) into.append(piece.substr(0, request_.output_bytes_max - into.size()));
    if (tell && request_.on_output) request_.on_output(piece);
  }

  const ProcessRequest& request_;
  const UniqueFd& pidfd_;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd err_;
  std::size_t fed_ = 0;
  bool ended_ = false;
};

std::string last_lines(const std::string& text) {
  constexpr std::size_t kMost = 600;
  std::string end = text.size() > kMost ? "..." + text.substr(text.size() - kMost) : text;
  while (!end.empty() && (end.back() == '\n' || end.back() == ' ')) end.pop_back();
  return end;
}

Result<void> judge(const ProcessRequest& request, const ProcessOutput& output, int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == kMissingProgram && output.err.empty()) {
    return fail(ErrorCode::unsupported, "cannot run " + request.argv[0], "the program is not installed",
                "install the package that has it");
  }
  const std::string how = WIFSIGNALED(status) ? "ended by signal " + std::to_string(WTERMSIG(status))
                                              : "ended with status " + std::to_string(WEXITSTATUS(status));
  const std::string words = last_lines(output.err.empty() ? output.out : output.err);
  return fail(ErrorCode::internal, request.argv[0] + " " + how, words);
}

}  // namespace

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (auto& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

void take_ordinary_oom_score() {
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  // Without it the process is merely spared for longer than it should be.
  [[maybe_unused]] const ssize_t written = ::write(file, "0", 1);
  ::close(file);
}

Result<ProcessOutput> run_process(const ProcessRequest& request) {
  auto in = make_pipe();
  auto out = make_pipe();
  auto err = make_pipe();
  if (!in || !out || !err) return fail(ErrorCode::unavailable, "cannot run " + request.argv[0], "too many open files");
  auto arguments = request.argv;
  auto environment = make_environment(request);
  const auto argv = pointers(arguments);
  const auto envp = pointers(environment);

  const ChildPlan plan{.argv = argv.data(),
                       .envp = envp.data(),
                       .uid = request.uid,
                       .parent = ::getpid(),
                       .in = in->read_end.get(),
                       .out = out->write_end.get(),
                       .err = err->write_end.get()};

  const pid_t pid = ::fork();
  if (pid < 0) return fail(ErrorCode::unavailable, "cannot run " + request.argv[0], std::strerror(errno));
  if (pid == 0) exec_child(plan);
  Child child(pid);
  if (!child.pidfd().valid()) {
    return fail(ErrorCode::unavailable, "cannot watch " + request.argv[0], std::strerror(errno));
  }
  in->read_end.reset();
  out->write_end.reset();
  err->write_end.reset();

  Exchange exchange(request, child.pidfd(), std::move(in->write_end), std::move(out->read_end),
                    std::move(err->read_end));
  if (auto exchanged = exchange.run(); !exchanged) return fail(exchanged.error());
  if (auto verdict = judge(request, exchange.output, child.end()); !verdict) return fail(verdict.error());
  return std::move(exchange.output);
}

}  // namespace gantry::runtime
