#include "app/daemon/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>

namespace gantry::app {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  gantryd\n"
    "  gantryd --listen 0.0.0.0 --port 8443\n"
    "  gantryd --config /etc/gantry/gantryd.conf\n"
    "\n"
    "A configuration file has the same names without dashes, one a line: listen=0.0.0.0\n"
    "Guests go on running when gantryd ends, and are found again when it starts.";

std::string machine_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "host";
  return name.data();
}

}  // namespace

ParsedOptions parse_options(int argc, char** argv) {
  ParsedOptions parsed;
  auto& options = parsed.options;
  options.host_name = machine_name();
  CLI::App app("gantryd: manager and host of Gantry in one process");
  app.footer(kFooter);
  app.set_version_flag("--version", "gantryd " GANTRY_VERSION);
  app.set_config("--config", "", "Configuration file");
  app.add_option("--state-dir", options.state_directory, "What must outlive a reboot")->capture_default_str();
  app.add_option("--run-dir", options.run_directory, "What need not")->capture_default_str();
  app.add_option("--data-dir", options.data_directory, "Image recipes; found by itself when not given");
  app.add_option("--listen", options.listen_address, "Address of the API")->capture_default_str();
  app.add_option("--port", options.listen_port, "Port of the API; 0: any free one")->capture_default_str();
  app.add_option("--tls-certificate", options.tls_certificate,
                 "PEM file with the certificate and its chain; one of its own when not given");
  app.add_option("--tls-key", options.tls_key, "PEM file with the certificate's key");
  app.add_option("--host-name", options.host_name, "This host's name")->capture_default_str();
  app.add_option("--log-level", options.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.add_option("--accelerator", options.accelerator, "auto, kvm or tcg")
      ->check(CLI::IsMember({"auto", "kvm", "tcg"}))
      ->capture_default_str();
  app.add_flag("--show-fingerprint", options.show_fingerprint,
               "Print the SHA-256 fingerprint of the certificate and end");
  try {
    app.parse(argc, argv);
    if (options.tls_certificate.empty() != options.tls_key.empty()) {
      throw CLI::ValidationError("--tls-certificate and --tls-key belong together");
    }
  } catch (const CLI::Success& shown) {
    parsed.exit_code = app.exit(shown);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    parsed.exit_code = 2;
  }
  return parsed;
}

}  // namespace gantry::app
