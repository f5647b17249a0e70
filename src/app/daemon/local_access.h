// How root on this machine reaches the API without a password: an address, the certificate's fingerprint and a token in
// a file only root can read, made anew at each start.
#pragma once

#include <cstdint>
#include <string>

#include "app/daemon/options.h"
#include "base/result.h"

namespace gantry::app {

// Lower-case hexadecimal SHA-256 of the first certificate in a PEM file.
Result<std::string> certificate_fingerprint(const std::string& path);
// Both are PEM files that can be read, and belong together.
bool is_certificate_of_key(const std::string& certificate_path, const std::string& key_path);

// Of the user "admin", at the first start; empty: nothing is said.
void print_first_password(const std::string& password);

// Writes local.json and gantryd.pid to the run directory.
Result<void> offer_local_access(const DaemonOptions& options, std::uint16_t port, const std::string& token);
// Takes them away again.
void withdraw_local_access(const DaemonOptions& options);

}  // namespace gantry::app
