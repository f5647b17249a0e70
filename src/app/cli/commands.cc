#include "app/cli/commands.h"

#include <algorithm>

namespace gantry::app {

CLI::App* Commands::add(CLI::App& parent, const std::string& name, const std::string& what,
                        const std::string& examples) const {
  auto* command = parent.add_subcommand(name, what);
  std::string footer = "Examples:\n  ";
  for (const char letter : examples) footer += letter == '\n' ? std::string("\n  ") : std::string(1, letter);
  command->footer(footer);
  return command;
}

CLI::App* Commands::group(const std::string& name, const std::string& what, const std::string& examples) const {
  auto* command = add(app, name, what, examples);
  command->require_subcommand(1);
  return command;
}

void Commands::run(CLI::App* command, std::function<int()> work) const {
  command->final_callback([&todo = todo, work = std::move(work)] { todo = work; });
}

CLI::Validator within(std::uint32_t min, std::uint32_t max) {
  return CLI::Range(min, max).description(std::to_string(min) + " to " + std::to_string(max));
}

CLI::Validator label() {
  return {[](std::string& text) -> std::string {
            const std::string key = text.substr(0, text.find('='));
            const bool fits = !key.empty() && key.find_first_of(" ,") == std::string::npos;
            return fits ? "" : "\"" + text + "\" is no label: write it as KEY=VALUE, the key without \",\" and spaces";
          },
          ""};
}

CLI::Validator label_filter() {
  return {[](std::string& text) -> std::string {
            for (std::size_t begin = 0; begin <= text.size();) {
              const std::size_t comma = std::min(text.find(',', begin), text.size());
              const std::size_t equals = text.find('=', begin);
              if (equals >= comma || equals == begin)
                return "\"" + text + "\" names no labels: write it as KEY=VALUE or KEY=VALUE,KEY=VALUE";
              begin = comma + 1;
            }
            return {};
          },
          ""};
}

}  // namespace gantry::app
