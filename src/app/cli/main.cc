// gantry: the command line.
#include <csignal>
#include <iostream>

#include "app/cli/command_words.h"
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
      ->type_name("FILE")
      ->envname("GANTRY_RUN_DIR")
      ->default_val("/run/gantry");
}

// An option that may be given again takes one value each time: else `launch --network lan debian-12` would take the
// image for a second network.
void one_value_each(CLI::App& app) {
  for (auto* option : app.get_options()) {
    if (!option->get_positional() && takes_value(*option)) option->allow_extra_args(false);
  }
  for (auto* command : app.get_subcommands([](CLI::App*) { return true; })) one_value_each(*command);
}

// Names the word that is wrong, and what may have been meant.
int report_wrong_use(const CLI::App& app, const std::vector<std::string>& words, const std::string& why) {
  const Place place = walk(app, words);
  const std::string help = "see: " + path_of(*place.command) + " --help";
  const auto commands = commands_of(*place.command);
  std::vector<std::string> known;
  std::string summary = why;
  std::string wrong;
  if (!commands.empty() && !place.positionals.empty()) {
    wrong = place.positionals.front();
    summary = "there is no command \"" + path_of(*place.command) + " " + wrong + "\"";
    for (const auto* command : commands) known.push_back(command->get_name());
  } else if (!commands.empty() && place.unknown_option.empty()) {
    summary = "\"" + path_of(*place.command) + "\" needs a command behind it";
  } else if (!place.unknown_option.empty()) {
    wrong = place.unknown_option;
    summary = "there is no option " + wrong + " of \"" + path_of(*place.command) + "\"";
    for (const auto* option : options_for(*place.command)) {
      for (const auto& name : option->get_lnames()) known.push_back("--" + name);
    }
  }
  const std::string meant = wrong.empty() ? "" : nearest(wrong, known);
  return report(
      Error{ErrorCode::invalid_argument, summary, "", meant.empty() ? help : "is \"" + meant + "\" meant? " + help});
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
  add_pool_commands(commands);
  add_network_commands(commands);
  add_security_group_commands(commands);
  add_host_commands(commands);
  add_rule_commands(commands);
  add_task_commands(commands);
  add_access_commands(commands);
  add_user_commands(commands);
  add_audit_commands(commands);
  add_admin_commands(commands);
  add_completion_command(commands);
  one_value_each(app);
  std::vector<std::string> words(argv + 1, argv + argc);
  // Not a command of CLI11: it must take a line as it is, however unfinished.
  if (!words.empty() && words.front() == "__complete") {
    words.erase(words.begin());
    return complete(commands, words);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& shown) {
    return app.exit(shown);
  } catch (const CLI::ParseError& error) {
    return report_wrong_use(app, words, error.what());
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
