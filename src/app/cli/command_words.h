// How far the words of a command line lead into the commands, without running or refusing anything: for completing a
// line that is not whole yet, and for saying which word of a wrong one is wrong.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

namespace gantry::app {

struct Place {
  // The deepest command that was named.
  const CLI::App* command = nullptr;
  // The option whose value the next word is; nullptr: none.
  const CLI::Option* awaiting = nullptr;
  // Words that are neither commands nor options nor values of those.
  std::vector<std::string> positionals;
  // The last value of each option.
  std::map<const CLI::Option*, std::string> values;
  // The first option nobody knows; empty: all are known.
  std::string unknown_option;
  // "--" was seen: whatever follows is no option.
  bool only_positionals = false;
};

Place walk(const CLI::App& root, const std::vector<std::string>& words);

std::vector<const CLI::App*> commands_of(const CLI::App& app);
// Of the command and of those it is in: an option may stand behind any command below its own.
std::vector<const CLI::Option*> options_for(const CLI::App& command);
// Also of the form "--name=value".
const CLI::Option* find_option(const CLI::App& command, const std::string& word);
bool takes_value(const CLI::Option& option);
// "gantry image build".
std::string path_of(const CLI::App& command);

// The one most like `word`, if one is so like it that it may have been meant; else empty.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

}  // namespace gantry::app
