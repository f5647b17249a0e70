#include "server/audit_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "runtime/files.h"
#include "server/secrets.h"

namespace gantry::server {
namespace {

constexpr const char* kCurrent = "audit.log";
constexpr const char* kOlder = "audit-";
constexpr std::size_t kHashLength = 64;
constexpr std::size_t kPrefixLength = 2 * (kHashLength + 1);

std::string current_path(const std::string& directory) { return directory + "/" + kCurrent; }

// "audit-000000000007.log": sorted as they were set aside.
std::string older_path(const std::string& directory, std::size_t number) {
  std::string digits = std::to_string(number);
  return directory + "/" + kOlder + std::string(digits.size() < 12 ? 12 - digits.size() : 0, '0') + digits + ".log";
}

std::size_t number_of(const std::string& path) {
  const std::string name = std::filesystem::path(path).filename();
  return name == kCurrent ? 0 : std::strtoul(name.c_str() + std::strlen(kOlder), nullptr, 10);
}

AuditLine parse_line(std::string_view line) {
  const bool formed = line.size() > kPrefixLength && line[kHashLength] == ' ' && line[kPrefixLength - 1] == ' ';
  if (!formed) return {.hash = {}, .previous_hash = {}, .text = std::string(line)};
  return {.hash = std::string(line.substr(0, kHashLength)),
          .previous_hash = std::string(line.substr(kHashLength + 1, kHashLength)),
          .text = std::string(line.substr(kPrefixLength))};
}

}  // namespace

std::string AuditFile::hash_of(std::string_view previous_hash, std::string_view text) {
  return sha256_hex(std::string(previous_hash) + std::string(text));
}

std::vector<std::string> AuditFile::paths(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code error;
  std::filesystem::directory_iterator entry(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().rfind(kOlder, 0) == 0) paths.push_back(entry->path());
  }
  std::sort(paths.begin(), paths.end());
  if (std::filesystem::exists(current_path(directory), error)) paths.push_back(current_path(directory));
  return paths;
}

// One that is set aside meanwhile would be missed, or be taken for another.
Result<AuditFiles> AuditFiles::open(const std::string& directory) {
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; ++i) {
    AuditFiles found;
    const auto paths = AuditFile::paths(directory);
    for (const std::string& path : paths) {
      UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      if (!file.valid() && errno != ENOENT) return fail(runtime::errno_error("open " + path, errno));
      found.files_.push_back(std::move(file));
    }
    if (AuditFile::paths(directory) == paths) return found;
  }
  return fail(ErrorCode::unavailable, "the audit cannot be read now", "its files change all the time",
              "try again in a moment");
}

Result<std::vector<AuditLine>> AuditFiles::lines(std::size_t place, std::size_t bytes_max) const {
  const int file = files_[place].get();
  struct stat facts {};
  if (::fstat(file, &facts) != 0) return fail(runtime::errno_error("read the audit", errno));
  if (static_cast<std::size_t>(facts.st_size) > bytes_max) {
    return fail(ErrorCode::corrupt, "the audit cannot be read", "one of its files is larger than gantryd makes any",
                "look who wrote to it");
  }
  std::string content(static_cast<std::size_t>(facts.st_size), '\0');
  std::size_t size = 0;
  while (size < content.size()) {
    const ssize_t count = ::pread(file, content.data() + size, content.size() - size, static_cast<off_t>(size));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(runtime::errno_error("read the audit", errno));
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  std::vector<AuditLine> found;
  std::string_view rest = std::string_view(content).substr(0, size);
  // What has no end is being written.
  for (std::size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    found.push_back(parse_line(rest.substr(0, end)));
    rest.remove_prefix(end + 1);
  }
  return found;
}

Result<std::string> AuditFile::open() {
  if (auto made = runtime::make_directories(options_.directory, 0700); !made) return fail(made.error());
  if (auto opened = open_current(); !opened) return fail(opened.error());
  last_hash_ = std::string(kHashLength, '0');
  const auto files = AuditFiles::open(options_.directory);
  if (!files) return fail(files.error());
  for (std::size_t place = files->size(); place-- > 0;) {
    const auto known = files->lines(place, 2 * options_.file_bytes_max);
    if (!known) return fail(known.error());
    if (known->empty()) continue;
    if (!known->back().hash.empty()) last_hash_ = known->back().hash;
    return known->back().text;
  }
  return std::string();
}

Result<void> AuditFile::open_current() {
  file_ = UniqueFd();
  bytes_ = 0;
  const std::string path = current_path(options_.directory);
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return fail(runtime::errno_error("open " + path, errno));
  const auto content = runtime::read_file(path, 2 * options_.file_bytes_max);
  if (!content) return fail(content.error());
  const std::size_t end = content->rfind('\n');
  const std::size_t whole = end == std::string::npos ? 0 : end + 1;
  if (whole != content->size() && ::ftruncate(file.get(), static_cast<off_t>(whole)) != 0) {
    return fail(runtime::errno_error("cut off the torn end of " + path, errno));
  }
  file_ = std::move(file);
  bytes_ = whole;
  return {};
}

Result<void> AuditFile::set_aside() {
  const auto paths = AuditFile::paths(options_.directory);
  const std::size_t newest = paths.size() < 2 ? 0 : number_of(paths[paths.size() - 2]);
  const std::string current = current_path(options_.directory);
  if (::rename(current.c_str(), older_path(options_.directory, newest + 1).c_str()) != 0) {
    return fail(runtime::errno_error("set " + current + " aside", errno));
  }
  // The one that is about to begin counts too.
  for (std::size_t i = 0; i + options_.files_max <= paths.size(); ++i) ::unlink(paths[i].c_str());
  return open_current();
}

Result<std::string> AuditFile::append(std::string_view text) {
  // It could not be begun, or not be mended, before.
  if (!file_.valid()) {
    if (auto opened = open_current(); !opened) return fail(opened.error());
  }
  const std::string hash = hash_of(last_hash_, text);
  const std::string line = hash + " " + last_hash_ + " " + std::string(text) + "\n";
  if (bytes_ != 0 && bytes_ + line.size() > options_.file_bytes_max) {
    if (auto begun = set_aside(); !begun) return fail(begun.error());
  }
  const ssize_t written = ::write(file_.get(), line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) {
    const int error_number = written < 0 ? errno : ENOSPC;
    // Half a line must not be taken for the beginning of the next.
    if (written > 0 && ::ftruncate(file_.get(), static_cast<off_t>(bytes_)) != 0) file_ = UniqueFd();
    return fail(runtime::errno_error("write the audit", error_number));
  }
  bytes_ += line.size();
  last_hash_ = hash;
  return hash;
}

}  // namespace gantry::server
