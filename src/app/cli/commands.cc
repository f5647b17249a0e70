#include "app/cli/commands.h"

namespace gantry::app {

CLI::App* Commands::add(CLI::App& parent, const std::string& name, const std::string& what,
                        const std::string& examples) const {
  auto* command = parent.add_subcommand(name, what);
  std::string footer = "Examples:\n  ";
  for (const char letter : examples) footer += letter == '\n' ? std::string("\n  ") : std::string(1, letter);
  command->footer(footer);
  return command;
}

void Commands::run(CLI::App* command, std::function<int()> work) const {
  command->final_callback([&todo = todo, work = std::move(work)] { todo = work; });
}

}  // namespace gantry::app
