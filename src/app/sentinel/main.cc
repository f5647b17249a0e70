// gantry-sentinel: keeps the leases of this host's guests and pauses guests that lose theirs. Started by gantryd, and
// outlives it: see pair.h.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/sentinel/service.h"
#include "runtime/files.h"

namespace gantry::sentinel {
namespace {

constexpr const char* kHelp =
    "gantry-sentinel: keeps the leases of this host's guests, and pauses guests that lose theirs\n"
    "Usage: gantry-sentinel --state-dir DIR\n\n"
    "gantryd starts it when it is not there. It goes on in the background, two processes that watch each other, as\n"
    "long as guests run or gantryd does, and ends by itself. Its log is DIR/sentinel/log.\n\n"
    "  --state-dir DIR   gantryd's state directory (default: /var/lib/gantry)\n"
    "  --version, --help\n";

struct Arguments {
  std::string state_directory = "/var/lib/gantry";
  bool stands_by = false;
};

int complain(const Error& error) {
  std::fprintf(stderr, "error: %s\n", error.to_text().c_str());
  return 1;
}

// The guests' guard: it ends when there is nothing to guard, and not when somebody asks all programs to.
void ignore_requests_to_end() {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD}) ::signal(signal, SIG_IGN);
}

// Its pages must be there when the disk that memory was swapped to hangs; and when memory runs out a guest is the
// better victim. Without the rights for it, it goes on as any other process. To be called by the process that stays: no
// lock on memory goes along with a fork.
void be_spared() {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  // With a limit, what comes later would fail for want of locked memory.
  const int later = ::setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0 ? MCL_FUTURE : 0;
  static_cast<void>(::mlockall(MCL_CURRENT | MCL_ONFAULT | later) == 0);
  const UniqueFd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  static_cast<void>(score.valid() && ::write(score.get(), "-900", 4) == 4);
}

// Guests matter more than words: without its log it goes on silently.
Result<void> write_to_log(const std::string& state_directory) {
  const std::string path = state_directory + "/sentinel/log";
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  UniqueFd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log.valid()) log = UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!log.valid() || !null.valid()) return fail(runtime::errno_error("cannot open /dev/null", errno));
  if (::dup2(null.get(), 0) < 0 || ::dup2(log.get(), 1) < 0 || ::dup2(log.get(), 2) < 0) {
    return fail(runtime::errno_error("cannot write to " + path, errno));
  }
  return {};
}

// Nothing: another sentinel is there.
Result<std::optional<SharedFiles>> become_the_only_one(const std::string& state_directory) {
  const std::string directory = state_directory + "/sentinel";
  if (auto made = runtime::make_directories(directory, 0700); !made) return fail(made.error());
  SharedFiles files;
  files.lock = UniqueFd(::open((directory + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!files.lock.valid()) return fail(runtime::errno_error("cannot open " + directory + "/lock", errno));
  if (::flock(files.lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    return fail(runtime::errno_error("cannot lock " + directory + "/lock", errno));
  }
  auto listener = qemu::listen_unix(socket_path(state_directory));
  if (!listener) return fail(listener.error());
  files.listener = std::move(*listener);
  return files;
}

// `ready` hears when it serves.
int serve(SharedFiles files, const std::string& state_directory, std::optional<Inheritance> inheritance,
          UniqueFd ready) {
  auto timer = runtime::BootTimer::make();
  if (!timer) return complain(timer.error());
  Service service(std::move(files), state_directory, std::move(*timer), std::move(inheritance));
  if (ready.valid()) static_cast<void>(::write(ready.get(), "\n", 1) == 1);
  ready.reset();
  service.run();
  // At once: neither is a thread waited for that hangs in a pool, nor are libraries that ran on such threads, with
  // files of their own, to tidy up on this one.
  std::fflush(nullptr);
  ::_exit(0);
}

int stand_by_and_serve(const std::string& state_directory) {
  be_spared();
  SharedFiles files{UniqueFd(kLockDescriptor), UniqueFd(kListenerDescriptor)};
  UniqueFd partner(kPartnerDescriptor);
  for (const int number : {kLockDescriptor, kListenerDescriptor, kPartnerDescriptor}) {
    ::fcntl(number, F_SETFD, FD_CLOEXEC);
  }
  auto inheritance = stand_by(partner, state_directory);
  partner.reset();
  return inheritance ? serve(std::move(files), state_directory, std::move(inheritance), UniqueFd()) : 0;
}

int start(const std::string& state_directory) {
  auto files = become_the_only_one(state_directory);
  if (!files) return complain(files.error());
  if (!*files) return 0;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return complain(runtime::errno_error("cannot make a pipe", errno));
  UniqueFd waits(ends[0]);
  UniqueFd ready(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return complain(runtime::errno_error("cannot go on in the background", errno));
  if (pid > 0) {
    // Whoever started it ends what is left of this process's group when it has ended.
    ready.reset();
    char nothing = 0;
    if (::read(waits.get(), &nothing, 1) == 1) return 0;
    return complain(
        {ErrorCode::internal, "the sentinel ended before it served", "", "see " + state_directory + "/sentinel/log"});
  }
  ::setsid();
  be_spared();
  if (auto logs = write_to_log(state_directory); !logs) return complain(logs.error());
  waits.reset();
  if (::chdir("/") != 0) return complain(runtime::errno_error("cannot leave the working directory", errno));
  return serve(std::move(**files), state_directory, std::nullopt, std::move(ready));
}

// Nothing: said all there is to say, with that exit code.
std::optional<Arguments> parse(const std::vector<std::string>& words, int& exit_code) {
  Arguments arguments;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "--state-dir" && i + 1 < words.size()) {
      arguments.state_directory = words[++i];
    } else if (words[i] == "--stand-by") {
      arguments.stands_by = true;
    } else if (words[i] == "--version" || words[i] == "--help") {
      std::fputs(words[i] == "--help" ? kHelp : "gantry-sentinel " GANTRY_VERSION "\n", stdout);
      exit_code = 0;
      return std::nullopt;
    } else {
      std::fprintf(stderr, "error: \"%s\" is no option of gantry-sentinel; see --help\n", words[i].c_str());
      exit_code = 2;
      return std::nullopt;
    }
  }
  return arguments;
}

}  // namespace
}  // namespace gantry::sentinel

int main(int argc, char** argv) {
  using namespace gantry::sentinel;
  int exit_code = 0;
  const auto arguments = parse(std::vector<std::string>(argv, argv + argc), exit_code);
  if (!arguments) return exit_code;
  ignore_requests_to_end();
  const std::string& state_directory = arguments->state_directory;
  exit_code = arguments->stands_by ? stand_by_and_serve(state_directory) : start(state_directory);
  // Threads that hang in the kernel with a pool are not waited for.
  std::fflush(nullptr);
  ::_exit(exit_code);
}
