#include "app/cli/settings.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/files.h"

namespace gantry::app {
namespace {

std::string login_path() {
  if (const char* base = std::getenv("XDG_CONFIG_HOME"); base != nullptr && *base != '\0') {
    return std::string(base) + "/gantry/login.json";
  }
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : "/root") + "/.config/gantry/login.json";
}

Result<Settings> read_settings(const std::string& path) {
  const auto text = runtime::read_file(path, 1U << 16U);
  if (!text) return fail(text.error());
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) {
    return fail(ErrorCode::corrupt, "cannot understand " + path, "it is not JSON",
                "remove it and sign in again: gantry login");
  }
  const auto field = [&json](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  auto server = parse_server_address(field("server"));
  if (!server) {
    return fail(ErrorCode::corrupt, "cannot understand " + path, server.error().summary,
                "remove it and sign in again: gantry login");
  }
  server->fingerprint = field("fingerprint");
  return Settings{*server, field("token")};
}

// Whoever is not root cannot see whether there is one. Another failure says for itself what is wrong.
bool means_no_server(const Error& why) {
  return why.code == ErrorCode::not_found || why.code == ErrorCode::permission_denied;
}

Error no_server(const Error& why) {
  const bool may_not = why.code == ErrorCode::permission_denied;
  return Error{may_not ? ErrorCode::unauthenticated : ErrorCode::unavailable, "no Gantry server to speak to",
               may_not ? "only root may use this machine's server without signing in"
                       : "nobody signed in, and gantryd does not run on this machine",
               may_not ? "use sudo, or sign in: gantry login https://127.0.0.1:8443"
                       : "start gantryd, or sign in: gantry login https://HOST:8443"};
}

std::string local_path(const SettingsOptions& options) { return options.run_directory + "/local.json"; }

}  // namespace

Result<Settings> find_root_settings(const SettingsOptions& options) {
  if (!options.server.empty() || !options.token.empty()) return find_settings(options);
  auto found = read_settings(local_path(options));
  if (found || !means_no_server(found.error())) return found;
  const bool may_not = found.error().code == ErrorCode::permission_denied;
  return fail(may_not ? ErrorCode::unauthenticated : ErrorCode::unavailable,
              "cannot act as root of this machine's gantryd",
              may_not ? "only root may read " + local_path(options) : "gantryd does not run on this machine",
              may_not ? "use sudo" : "start gantryd, or do this on its machine");
}

Result<Settings> find_settings(const SettingsOptions& options) {
  if (!options.server.empty()) {
    auto server = parse_server_address(options.server);
    if (!server) return fail(server.error());
    server->fingerprint = options.fingerprint;
    Settings settings{*server, options.token};
    const auto kept = read_settings(login_path());
    if (kept && kept->server.host == server->host && kept->server.port == server->port) {
      if (settings.token.empty()) settings.token = kept->token;
      if (settings.server.fingerprint.empty()) settings.server.fingerprint = kept->server.fingerprint;
    }
    return settings;
  }
  auto found = read_settings(login_path());
  if (!found && found.error().code == ErrorCode::not_found) {
    found = read_settings(local_path(options));
    if (!found && means_no_server(found.error())) return fail(no_server(found.error()));
  }
  if (!found) return found;
  if (!options.token.empty()) found->token = options.token;
  return found;
}

Result<void> keep_login(const Settings& settings) {
  const std::string path = login_path();
  if (auto made = runtime::make_directories(std::filesystem::path(path).parent_path().string(), 0700); !made)
    return made;
  const bool is_ipv6 = settings.server.host.find(':') != std::string::npos;
  const std::string host = is_ipv6 ? "[" + settings.server.host + "]" : settings.server.host;
  const nlohmann::json json = {{"server", "https://" + host + ":" + settings.server.port},
                               {"fingerprint", settings.server.fingerprint},
                               {"token", settings.token}};
  return runtime::write_file_durably(path, json.dump(2) + "\n", 0600);
}

Result<void> forget_login() {
  std::error_code error;
  std::filesystem::remove(login_path(), error);
  if (error) return fail(runtime::errno_error("cannot remove " + login_path(), error.value()));
  return {};
}

}  // namespace gantry::app
