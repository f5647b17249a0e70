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

std::vector<std::string> AuditFile::files(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().filename().string().rfind(kOlder, 0) == 0) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  if (std::filesystem::exists(current_path(directory), error)) paths.push_back(current_path(directory));
  return paths;
}

std::vector<AuditLine> AuditFile::lines(const std::string& path, std::size_t bytes_max) {
  std::vector<AuditLine> found;
  const auto content = runtime::read_file(path, bytes_max);
  if (!content) return found;
  for (std::size_t begin = 0; begin < content->size();) {
    const std::size_t end = content->find('\n', begin);
    // Being written.
    if (end == std::string::npos) break;
    found.push_back(parse_line(std::string_view(*content).substr(begin, end - begin)));
    begin = end + 1;
  }
  return found;
}

Result<std::string> AuditFile::open() {
  if (auto made = runtime::make_directories(options_.directory, 0700); !made) return fail(made.error());
  if (auto opened = open_current(); !opened) return fail(opened.error());
  last_hash_ = std::string(kHashLength, '0');
  const auto paths = files(options_.directory);
  for (auto path = paths.rbegin(); path != paths.rend(); ++path) {
    const auto known = lines(*path, 2 * options_.file_bytes_max);
    if (known.empty()) continue;
    last_hash_ = known.back().hash.empty() ? last_hash_ : known.back().hash;
    return known.back().text;
  }
  return std::string();
}

Result<void> AuditFile::open_current() {
  const std::string path = current_path(options_.directory);
  file_ = UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file_.valid()) return fail(runtime::errno_error("open " + path, errno));
  const auto content = runtime::read_file(path, 2 * options_.file_bytes_max);
  if (!content) return fail(content.error());
  const std::size_t end = content->rfind('\n');
  bytes_ = end == std::string::npos ? 0 : end + 1;
  if (bytes_ != content->size() && ::ftruncate(file_.get(), static_cast<off_t>(bytes_)) != 0) {
    return fail(runtime::errno_error("cut off the torn end of " + path, errno));
  }
  return {};
}

Result<void> AuditFile::set_aside() {
  auto paths = files(options_.directory);
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
  if (!file_.valid()) return fail(ErrorCode::unavailable, "the audit could not be written", "its file is not open");
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
