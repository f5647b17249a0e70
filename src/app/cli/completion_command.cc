// Completion for the three common shells. Commands come from this program itself, so that they never go out of date;
// names of records are asked of the server while typing.
#include <iostream>

#include "app/cli/commands.h"

namespace gantry::app {
namespace {

std::string words_of(const CLI::App& app) {
  std::string words;
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
    words += command->get_name() + " ";
  return words;
}

// "launch) words=...;;" for each command, with its own subcommands or options.
std::string cases_of(const CLI::App& app) {
  std::string text;
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    std::string words = words_of(*command);
    for (const auto* option : command->get_options()) {
      for (const auto& name : option->get_lnames()) words += "--" + name + " ";
    }
    text += "    " + command->get_name() + ") words=\"" + words + "\";;\n";
  }
  return text;
}

std::string bash_script(const CLI::App& app) {
  return "# bash completion for gantry: source <(gantry completion bash)\n"
         "_gantry() {\n"
         "  local words='' command=\"${COMP_WORDS[1]}\" current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY=($(compgen -W \"" +
         words_of(app) +
         "\" -- \"$current\")); return; fi\n"
         "  case \"$command\" in\n" +
         cases_of(app) +
         "  esac\n"
         "  case \"$command\" in\n"
         "    show|start|stop|restart|reset|pause|resume|set|delete|console|ssh)\n"
         "      words=\"$words $(gantry list -o json 2>/dev/null | sed -n 's/^        \"name\": "
         "\"\\(.*\\)\".*/\\1/p')\";;\n"
         "    launch)\n"
         "      words=\"$words $(gantry image list -o json 2>/dev/null | sed -n 's/^        \"name\": "
         "\"\\(.*\\)\".*/\\1/p')\";;\n"
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "}\n"
         "complete -F _gantry gantry\n";
}

std::string fish_script(const CLI::App& app) {
  std::string text = "# fish completion for gantry: gantry completion fish | source\n";
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    text += "complete -c gantry -n __fish_use_subcommand -f -a " + command->get_name() + " -d '" +
            command->get_description() + "'\n";
    for (const auto* nested : command->get_subcommands([](const CLI::App*) { return true; })) {
      text += "complete -c gantry -n '__fish_seen_subcommand_from " + command->get_name() + "' -f -a " +
              nested->get_name() + " -d '" + nested->get_description() + "'\n";
    }
  }
  return text;
}

}  // namespace

void add_completion_command(const Commands& commands) {
  auto* command = commands.add(commands.app, "completion", "Print completion for a shell",
                               "source <(gantry completion bash)\ngantry completion fish | source");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  commands.run(command, [&app = commands.app, shell] {
    if (*shell == "fish") {
      std::cout << fish_script(app);
    } else {
      if (*shell == "zsh") std::cout << "autoload -U +X bashcompinit && bashcompinit\n";
      std::cout << bash_script(app);
    }
    return 0;
  });
}

}  // namespace gantry::app
