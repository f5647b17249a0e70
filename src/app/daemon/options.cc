#include "app/daemon/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <string>
#include <vector>

namespace gantry::app {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  gantryd\n"
    "  gantryd --listen 0.0.0.0 --port 8443\n"
    "  gantryd --store etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 --store-ca /etc/gantry/etcd-ca.crt\n"
    "  gantryd --config /etc/gantry/gantryd.conf\n"
    "  gantryd --listen 0.0.0.0 --link-listen 0.0.0.0      (a manager that others can join)\n"
    "  gantryd join gj1_...                                (this machine becomes a host of another)\n"
    "\n"
    "A configuration file has the same names without dashes, one a line: listen=0.0.0.0\n"
    "Guests go on running when gantryd ends, and are found again when it starts.";

constexpr const char* kJoinFooter =
    "Examples:\n"
    "  gantryd join gj1_CAESEDE5Mi4wLjIuMTo4NDQ0...\n"
    "  gantryd join - < token                keep it out of the list of processes\n"
    "  gantryd join --dry-run gj1_...        only look whether it would work\n"
    "  gantryd join --replace gj1_...        leave the cluster this machine was a host of\n"
    "\n"
    "The token is what \"gantry host token\" prints on the manager: it serves once, within an hour.\n"
    "Afterwards start gantryd as ever: it is a host then, without records or an API of its own.\n"
    "Reads /etc/gantry/gantryd.conf where that is, as the service does, unless --config names another file.";

void add_link_options(CLI::App& app, DaemonOptions& options) {
  app.add_option("--link-listen", options.link_listen,
                 "Address for hosts on other machines to connect to; none can join when not given");
  app.add_option("--link-port", options.link_port, "Its port; 0: any free one")->capture_default_str();
  app.add_option("--link-address", options.link_addresses,
                 "Where hosts find managers: NAME or NAME:PORT, given again for each; --link-listen when not given");
}

void add_join(CLI::App& app, ParsedOptions& parsed, JoinOptions& join) {
  auto* command = app.add_subcommand("join", "Make this machine a host of the cluster that made the token");
  command->footer(kJoinFooter);
  command->fallthrough();
  command->configurable(false);
  command->add_option("token", join.token, "What \"gantry host token\" printed; -: read it from standard input")
      ->required();
  command->add_flag("--dry-run", join.dry_run, "Only look whether it would work; the token stays good");
  command->add_flag("--replace", join.replace, "Leave the cluster this machine is a host of already");
  command->callback([&parsed, &join] { parsed.join = join; });
}

constexpr const char* kMigrateFooter =
    "Examples:\n"
    "  systemctl stop gantryd\n"
    "  gantryd migrate-store --store etcd://10.0.0.1:2379,10.0.0.2:2379 --dry-run\n"
    "  gantryd migrate-store --store etcd://10.0.0.1:2379,10.0.0.2:2379\n"
    "\n"
    "Guests go on running. Whatever interrupts it, repeat it: it goes on where it was. Afterwards start gantryd with\n"
    "that --store; it does not start on the old records any more.\n"
    "Reads /etc/gantry/gantryd.conf where that is, as the service does, unless --config names another file.";

void add_migrate(CLI::App& app, ParsedOptions& parsed, MigrateOptions& migrate) {
  auto* command = app.add_subcommand("migrate-store", "Move this machine's records to the store that --store names");
  command->footer(kMigrateFooter);
  command->fallthrough();
  command->configurable(false);
  command->add_flag("--dry-run", migrate.dry_run, "Only look whether it would work");
  command->callback([&parsed, &migrate] { parsed.migrate = migrate; });
}

// What the service reads: whoever joins by hand means the machine that the service runs for.
constexpr const char* kServiceConfig = "/etc/gantry/gantryd.conf";

ParsedOptions parse_with_service_config(int argc, char** argv) {
  std::string name = "--config";
  std::string path = kServiceConfig;
  std::vector<char*> arguments = {argv[0], name.data(), path.data()};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  const int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  return parse_options(count, arguments.data());
}

std::string machine_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "host";
  return name.data();
}

void check_store(const DaemonOptions& options) {
  if (options.store_certificate.empty() != options.store_key.empty()) {
    throw CLI::ValidationError("--store-certificate and --store-key belong together");
  }
  if (!options.store_certificate.empty() && options.store_ca.empty()) {
    throw CLI::ValidationError("--store-certificate needs --store-ca too");
  }
  if (!options.store.empty() && options.link_port == 0) {
    throw CLI::ValidationError("--link-port 0 is for one manager alone: with --store hosts look for all of them");
  }
  if (!options.store_ca.empty() && options.store.empty()) {
    throw CLI::ValidationError("--store-ca is for --store etcd://...");
  }
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
  // In pieces, because a comma in a configuration file begins another value.
  std::vector<std::string> store;
  app.add_option(
         "--store", store,
         "Where records are kept, shared with other managers: etcd://HOST:PORT,HOST:PORT; a file of this machine's own "
         "when not given")
      ->delimiter(',');
  app.add_option("--store-ca", options.store_ca,
                 "PEM file with the authority that etcd's nodes are known by: speaks TLS");
  app.add_option("--store-certificate", options.store_certificate, "PEM file with this daemon's certificate for etcd");
  app.add_option("--store-key", options.store_key, "PEM file with that certificate's key");
  app.add_option("--host-name", options.host_name, "This host's name")->capture_default_str();
  app.add_option("--log-level", options.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.add_option("--accelerator", options.accelerator, "auto, kvm or tcg")
      ->check(CLI::IsMember({"auto", "kvm", "tcg"}))
      ->capture_default_str();
  app.add_option("--cpu-overcommit", options.cpu_overcommit,
                 "Virtual processors that running guests may have for each of a host's")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str();
  add_link_options(app, options);
  JoinOptions join;
  add_join(app, parsed, join);
  MigrateOptions migrate;
  add_migrate(app, parsed, migrate);
  app.add_flag("--show-fingerprint", options.show_fingerprint,
               "Print the SHA-256 fingerprint of the certificate and end");
  try {
    app.parse(argc, argv);
    if (options.tls_certificate.empty() != options.tls_key.empty()) {
      throw CLI::ValidationError("--tls-certificate and --tls-key belong together");
    }
    if ((parsed.join || parsed.migrate) && app.count("--config") == 0 && ::access(kServiceConfig, R_OK) == 0) {
      return parse_with_service_config(argc, argv);
    }
    for (const std::string& piece : store) options.store += (options.store.empty() ? "" : ",") + piece;
    check_store(options);
    if (parsed.migrate && options.store.empty()) {
      throw CLI::ValidationError("migrate-store needs --store etcd://..., where to move the records");
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
