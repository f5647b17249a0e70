// Which server the command line speaks to, and as whom: options, then the environment, then what `gantry login` kept,
// then the daemon of this machine for whoever may read its key (root).
#pragma once

#include <string>

#include "app/cli/https_client.h"
#include "base/result.h"

namespace gantry::app {

struct Settings {
  ServerAddress server;
  std::string token;
};

struct SettingsOptions {
  // --server and --token, or GANTRY_SERVER, GANTRY_TOKEN and GANTRY_FINGERPRINT; empty: not given.
  std::string server;
  std::string token;
  std::string fingerprint;
  // Where the daemon of this machine leaves its key.
  std::string run_directory;
};

Result<Settings> find_settings(const SettingsOptions& options);
// This machine's daemon as root, whoever signed in; unless --server or --token says otherwise.
Result<Settings> find_root_settings(const SettingsOptions& options);
// ~/.config/gantry/login.json (or under XDG_CONFIG_HOME), readable by the user alone.
Result<void> keep_login(const Settings& settings);
Result<void> forget_login();

}  // namespace gantry::app
