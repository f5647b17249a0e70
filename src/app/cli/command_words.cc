#include "app/cli/command_words.h"

#include <algorithm>
#include <numeric>

namespace gantry::app {
namespace {

const CLI::App* command_named(const CLI::App& app, const std::string& name) {
  for (const auto* command : commands_of(app)) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

const CLI::Option* short_option(const CLI::App& command, char letter) {
  for (const auto* option : options_for(command)) {
    for (const auto& name : option->get_snames()) {
      if (name == std::string(1, letter)) return option;
    }
  }
  return nullptr;
}

void take_long(Place& place, const std::string& word) {
  const auto* option = find_option(*place.command, word);
  if (option == nullptr) {
    if (place.unknown_option.empty()) place.unknown_option = word.substr(0, word.find('='));
    return;
  }
  if (!takes_value(*option)) return;
  if (const auto equals = word.find('='); equals != std::string::npos) {
    place.values[option] = word.substr(equals + 1);
  } else {
    place.awaiting = option;
  }
}

// "-f", "-qf", "-ojson", "-o".
void take_short(Place& place, const std::string& word) {
  for (std::size_t i = 1; i < word.size(); ++i) {
    const auto* option = short_option(*place.command, word[i]);
    if (option == nullptr) {
      if (place.unknown_option.empty()) place.unknown_option = std::string("-") + word[i];
      return;
    }
    if (!takes_value(*option)) continue;
    if (i + 1 < word.size()) {
      place.values[option] = word.substr(i + 1);
    } else {
      place.awaiting = option;
    }
    return;
  }
}

void take(Place& place, const std::string& word) {
  if (place.awaiting != nullptr) {
    place.values[place.awaiting] = word;
    place.awaiting = nullptr;
  } else if (place.only_positionals || word.size() < 2 || word[0] != '-') {
    const auto* command = place.positionals.empty() ? command_named(*place.command, word) : nullptr;
    if (command != nullptr) {
      place.command = command;
    } else {
      place.positionals.push_back(word);
    }
  } else if (word == "--") {
    place.only_positionals = true;
  } else if (word[1] == '-') {
    take_long(place, word);
  } else {
    take_short(place, word);
  }
}

// Letters to change, add or leave out (Levenshtein).
std::size_t distance(const std::string& one, const std::string& other) {
  std::vector<std::size_t> row(other.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < one.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < other.size(); ++j) {
      const std::size_t changed = diagonal + (one[i] == other[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

Place walk(const CLI::App& root, const std::vector<std::string>& words) {
  Place place;
  place.command = &root;
  for (const auto& word : words) take(place, word);
  return place;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<const CLI::Option*> options_for(const CLI::App& command) {
  std::vector<const CLI::Option*> found;
  for (const auto* app = &command; app != nullptr; app = app->get_parent()) {
    for (const auto* option : app->get_options()) {
      const bool is_help_of_another = app != &command && option == app->get_help_ptr();
      if (!option->get_positional() && !is_help_of_another) found.push_back(option);
    }
  }
  return found;
}

const CLI::Option* find_option(const CLI::App& command, const std::string& word) {
  const std::string bare = word.substr(0, word.find('='));
  for (const auto* option : options_for(command)) {
    for (const auto& name : option->get_lnames()) {
      if ("--" + name == bare) return option;
    }
  }
  return nullptr;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

std::string path_of(const CLI::App& command) {
  const auto* parent = command.get_parent();
  return parent == nullptr ? std::string("gantry") : path_of(*parent) + " " + command.get_name();
}

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, std::min<std::size_t>(3, word.size() / 2)) + 1;
  for (const auto& name : known) {
    const bool is_begun = word.size() > 1 && name.compare(0, word.size(), word) == 0;
    const std::size_t apart = is_begun ? 0 : distance(word, name);
    if (apart >= best_distance) continue;
    best = name;
    best_distance = apart;
  }
  return best;
}

}  // namespace gantry::app
