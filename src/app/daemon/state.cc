#include "app/daemon/state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>

#include <cerrno>
#include <charconv>
#include <limits>
#include <vector>

#include "base/hex.h"
#include "base/id.h"
#include "runtime/files.h"

namespace gantry::app {
namespace {

Result<UniqueFd> lock_directory(const std::string& directory) {
  const std::string path = directory + "/lock";
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.valid()) return fail(runtime::errno_error("cannot open " + path, errno));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::conflict, "cannot use the state directory " + directory, "another gantryd is using it",
                "stop it first, or give this one another --state-dir");
  }
  return file;
}

Result<std::uint64_t> random_number() {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
    return fail(runtime::errno_error("cannot get random bytes", errno));
  }
  return number;
}

Result<std::string> find_host_id(const std::string& directory, std::uint64_t seed) {
  const std::string path = directory + "/host-id";
  auto kept = runtime::read_file(path, 256);
  if (kept) {
    while (!kept->empty() && kept->back() == '\n') kept->pop_back();
    if (is_id(*kept, "host")) return *kept;
    return fail(ErrorCode::corrupt, "cannot understand " + path, "it is not a host's id",
                "restore it from a backup: the records of this host's VMs name it");
  }
  if (kept.error().code != ErrorCode::not_found) return kept;
  Rng rng(seed);
  const std::string fresh = make_id("host", rng);
  if (auto written = runtime::write_file_durably(path, fresh + "\n"); !written) return fail(written.error());
  return fresh;
}

// What was seen in an earlier incarnation is older than anything seen now: to count again from 1 would have the manager
// take this host's news for stale.
Result<std::uint64_t> next_incarnation(const std::string& directory) {
  const std::string path = directory + "/incarnation";
  const auto kept = runtime::read_file(path, 256);
  if (!kept && kept.error().code != ErrorCode::not_found) return fail(kept.error());
  std::uint64_t last = 0;
  if (kept) {
    const char* end = kept->data() + kept->size();
    while (end != kept->data() && end[-1] == '\n') --end;
    const auto [parsed, error] = std::from_chars(kept->data(), end, last);
    const bool whole = error == std::errc() && parsed == end && last != 0;
    if (!whole || last == std::numeric_limits<std::uint64_t>::max()) {
      return fail(ErrorCode::corrupt, "cannot understand " + path, "it does not hold the number of starts of this host",
                  "restore it from a backup, or write a number higher than it ever was into it: date +%s > " + path);
    }
  }
  const std::uint64_t next = last + 1;
  if (auto written = runtime::write_file_durably(path, std::to_string(next) + "\n"); !written)
    return fail(written.error());
  return next;
}

}  // namespace

Result<DaemonState> open_state(const std::string& directory) {
  if (auto made = runtime::make_directories(directory, 0711); !made) return fail(made.error());
  auto lock = lock_directory(directory);
  if (!lock) return fail(lock.error());
  const auto seed = random_number();
  if (!seed) return fail(seed.error());
  auto host_id = find_host_id(directory, *seed);
  if (!host_id) return fail(host_id.error());
  const auto incarnation = next_incarnation(directory);
  if (!incarnation) return fail(incarnation.error());
  const auto ids_seed = random_number();
  if (!ids_seed) return fail(ids_seed.error());
  return DaemonState{std::move(*lock), std::move(*host_id), *incarnation, *ids_seed};
}

Result<std::string> random_hex(std::size_t bytes) {
  std::vector<unsigned char> raw(bytes);
  if (::getrandom(raw.data(), raw.size(), 0) != static_cast<ssize_t>(raw.size())) {
    return fail(runtime::errno_error("cannot get random bytes", errno));
  }
  return to_hex(raw.data(), raw.size());
}

}  // namespace gantry::app
