#include "qemu/move_keys.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/unique_fd.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

constexpr const char* kUser = "gantry";

}  // namespace

std::string tls_object(const std::string& key_directory, bool is_server) {
  nlohmann::ordered_json object = {{"qom-type", "tls-creds-psk"},
                                   {"id", kMoveCredentials},
                                   {"dir", key_directory},
                                   {"endpoint", is_server ? "server" : "client"}};
  if (!is_server) object["username"] = kUser;
  return object.dump();
}

Result<std::string> make_move_secret() {
  std::array<unsigned char, 32> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return fail(runtime::errno_error("cannot make a secret", errno));
  }
  std::string digits;
  for (const unsigned char byte : bytes) {
    digits += "0123456789abcdef"[byte >> 4U];
    digits += "0123456789abcdef"[byte & 15U];
  }
  return digits;
}

bool is_move_secret(std::string_view secret) {
  return secret.size() == 64 && secret.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<void> write_move_key(const std::string& directory, const std::string& secret, std::uint32_t uid) {
  if (!is_move_secret(secret)) return fail(ErrorCode::invalid_argument, "the secret of a move is malformed");
  remove_move_key(directory);
  if (auto made = runtime::make_directories(directory, 0711); !made) return made;
  const std::string path = directory + "/keys.psk";
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400));
  if (!file.valid()) return fail(runtime::errno_error("cannot make " + path, errno));
  const std::string line = std::string(kUser) + ":" + secret + "\n";
  if (::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return fail(runtime::errno_error("cannot write " + path, errno));
  }
  if (uid != 0 && ::fchown(file.get(), uid, uid) != 0) {
    return fail(runtime::errno_error("cannot give " + path + " to the guest's user", errno));
  }
  return {};
}

void remove_move_key(const std::string& directory) {
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
}

}  // namespace gantry::qemu
