// The key that both QEMUs of one move prove themselves by and encrypt with (TLS with a pre-shared key), in a file of
// its own while QEMU needs it: a source reads it once, a target for each connection.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::qemu {

// The id of QEMU's credentials object.
inline constexpr const char* kMoveCredentials = "move-tls";

// Of object-add, as JSON text.
std::string tls_object(const std::string& key_directory, bool is_server);

// 64 hexadecimal digits from the kernel. Blocks hardly ever.
Result<std::string> make_move_secret();
bool is_move_secret(std::string_view secret);

// Block. `directory` is made for it, readable to that user alone, and removed with it.
Result<void> write_move_key(const std::string& directory, const std::string& secret, std::uint32_t uid);
void remove_move_key(const std::string& directory);

}  // namespace gantry::qemu
