// gantry: the command line.
#include <csignal>
#include <iostream>

#include "app/cli/commands.h"

namespace gantry::app {

namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  gantry launch debian-12 --name web --cpus 2 --memory 1G\n"
    "  gantry list\n"
    "  gantry ssh web\n"
    "  gantry delete web --dry-run\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong use, 3 not found, 4 conflict, 5 not allowed, 6 server not reached.";

void add_global_options(CLI::App& app, GlobalOptions& options) {
  app.set_version_flag("--version", "gantry " GANTRY_VERSION);
  app.add_option("-o,--output", options.format, "table, json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}))
      ->capture_default_str();
  app.add_flag("--wait,!--no-wait", options.wait,
               "Wait until the change is done (default), or only until it is accepted");
  app.add_flag("--dry-run", options.dry_run, "Say what would be done and why, and do nothing");
  app.add_flag("-q,--quiet", options.quiet, "No progress, no words when all went well");
  app.add_option("--server", options.settings.server, "Server, such as https://HOST:8443")->envname("GANTRY_SERVER");
  app.add_option("--token", options.settings.token, "API token")->envname("GANTRY_TOKEN");
  app.add_option("--fingerprint", options.settings.fingerprint, "SHA-256 of the server's certificate")
      ->envname("GANTRY_FINGERPRINT");
  app.add_option("--run-dir", options.settings.run_directory, "Where this machine's gantryd leaves its key")
      ->envname("GANTRY_RUN_DIR")
      ->default_val("/run/gantry");
}

int run(int argc, char** argv) {
  CLI::App app("gantry: a room of servers as one machine");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();
  Session session;
  std::function<int()> todo;
  add_global_options(app, session.options);
  const Commands commands{app, session, todo};
  add_launch_command(commands);
  add_vm_commands(commands);
  add_guest_access_commands(commands);
  add_image_commands(commands);
  add_volume_commands(commands);
  add_network_commands(commands);
  add_host_commands(commands);
  add_task_commands(commands);
  add_access_commands(commands);
  add_completion_command(commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& shown) {
    return app.exit(shown);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return 2;
  }
  return todo ? todo() : 2;
}

}  // namespace
}  // namespace gantry::app

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return gantry::app::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
