// What may stand next in a line that is being typed; the shells ask by `gantry __complete WORDS...`.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <set>

#include "app/cli/command_words.h"
#include "app/cli/commands.h"

namespace gantry::app {
namespace {

// Whoever types does not wait longer for names, however slow the server.
constexpr unsigned kPatienceSeconds = 2;

// Lines "WORD" or "WORD<tab>what it is".
using Candidates = std::vector<std::string>;

template <class List>
Candidates names_by(Session& session, const std::string& rpc) {
  Candidates names;
  auto client = session.api();
  if (!client) return names;
  const auto all = fetch_all<List>(**client, rpc, v1::ListRequest());
  if (!all) return names;
  for (const auto& record : all->items()) names.push_back(printable(record.meta().name()));
  return names;
}

Candidates tasks(Session& session) {
  Candidates ids;
  auto client = session.api();
  if (!client) return ids;
  const auto all = (*client)->call<v1::TaskList>("ListTasks", v1::ListTasksRequest());
  if (!all) return ids;
  for (const auto& task : all->items())
    ids.push_back(task.meta().id() + "\t" + printable(task.action() + " " + task.target_name()));
  return ids;
}

template <class List>
Candidates people(Session& session, const std::string& rpc) {
  Candidates names;
  auto client = session.api();
  if (!client) return names;
  const auto all = (*client)->call<List>(rpc, v1::Empty());
  if (!all) return names;
  for (const auto& record : all->items()) names.push_back(printable(record.meta().name()));
  return names;
}

Candidates names_of_kind(Session& session, const std::string& kind) {
  if (kind == "VM") return names_by<v1::VmList>(session, "ListVms");
  if (kind == "IMAGE") return names_by<v1::ImageList>(session, "ListImages");
  if (kind == "VOLUME") return names_by<v1::VolumeList>(session, "ListVolumes");
  if (kind == "POOL") return names_by<v1::PoolList>(session, "ListPools");
  if (kind == "NETWORK") return names_by<v1::NetworkList>(session, "ListNetworks");
  if (kind == "SECURITY-GROUP") return names_by<v1::SecurityGroupList>(session, "ListSecurityGroups");
  if (kind == "HOST") return names_by<v1::HostList>(session, "ListHosts");
  if (kind == "RULE") return names_by<v1::RuleList>(session, "ListRules");
  if (kind == "TASK") return tasks(session);
  if (kind == "TOKEN") return people<v1::ApiTokenList>(session, "ListTokens");
  if (kind == "USER") return people<v1::UserList>(session, "ListUsers");
  if (kind == "GROUP") return people<v1::GroupList>(session, "ListGroups");
  // The shell knows its files best.
  if (kind == "FILE") return {":files"};
  return {};
}

// An option's type, as its help shows it, says what its value may be: "POOL", "SIZE|VOLUME", "TEXT:{bios,uefi}".
Candidates values_of(Session& session, const CLI::Option& option) {
  std::string type = option.get_type_name();
  Candidates values;
  if (const auto brace = type.find('{'); brace != std::string::npos) {
    std::string word;
    for (const char letter : type.substr(brace + 1)) {
      if (letter == ',' || letter == '}') {
        values.push_back(word);
        word.clear();
      } else {
        word += letter;
      }
    }
    type.resize(brace);
  }
  std::string kind;
  for (const char letter : type + "|") {
    if (letter != '|') {
      kind += letter;
      continue;
    }
    const auto names = names_of_kind(session, kind);
    values.insert(values.end(), names.begin(), names.end());
    kind.clear();
  }
  return values;
}

Candidates commands_in(const CLI::App& command) {
  Candidates words;
  for (const auto* each : commands_of(command)) words.push_back(each->get_name() + "\t" + each->get_description());
  return words;
}

Candidates options_in(const CLI::App& command) {
  Candidates words;
  for (const auto* option : options_for(command)) {
    for (const auto& name : option->get_lnames()) words.push_back("--" + name + "\t" + option->get_description());
  }
  return words;
}

// The positional the next word would be; nullptr: there is no room for one.
const CLI::Option* next_positional(const Place& place) {
  std::size_t taken = place.positionals.size();
  for (const auto* option : place.command->get_options()) {
    if (!option->get_positional()) continue;
    const auto room = static_cast<std::size_t>(option->get_items_expected_max());
    if (taken < room) return option;
    taken -= room;
  }
  return nullptr;
}

// Names that stand in the line already are not offered again.
Candidates without(Candidates words, const std::vector<std::string>& used) {
  const std::set<std::string> left_out(used.begin(), used.end());
  words.erase(
      std::remove_if(words.begin(), words.end(),
                     [&](const std::string& line) { return left_out.count(line.substr(0, line.find('\t'))) != 0; }),
      words.end());
  return words;
}

// --server and its like decide who is asked for names: from the line, else from the environment.
void apply_settings(CLI::App& app, const Place& place) {
  for (auto* option : app.get_options()) {
    if (option->get_envname().empty()) continue;
    const auto given = place.values.find(option);
    const char* inherited = std::getenv(option->get_envname().c_str());
    if (given == place.values.end() && inherited == nullptr) continue;
    option->clear();
    option->add_result(given != place.values.end() ? given->second : std::string(inherited));
    option->run_callback();
  }
}

// `prefix`: what of the word stays as it was typed.
struct Offer {
  std::string prefix;
  Candidates words;
};

Offer offer_for(Session& session, const Place& place, const std::string& current) {
  if (place.awaiting != nullptr) return {"", values_of(session, *place.awaiting)};
  const bool is_option = !place.only_positionals && !current.empty() && current[0] == '-';
  if (const auto equals = current.find('='); is_option && equals != std::string::npos) {
    const auto* option = find_option(*place.command, current);
    if (option == nullptr || !takes_value(*option)) return {};
    return {current.substr(0, equals + 1), values_of(session, *option)};
  }
  if (is_option) return {"", options_in(*place.command)};
  if (!commands_of(*place.command).empty())
    return {"", place.positionals.empty() ? commands_in(*place.command) : Candidates()};
  if (const auto* positional = next_positional(place)) {
    // "USER@NAME"
    const auto at = current.find('@');
    const std::string prefix = at == std::string::npos ? "" : current.substr(0, at + 1);
    return {prefix, without(values_of(session, *positional), place.positionals)};
  }
  return {"", place.only_positionals ? Candidates() : options_in(*place.command)};
}

}  // namespace

int complete(const Commands& commands, std::vector<std::string> words) {
  std::signal(SIGALRM, [](int) { ::_exit(0); });
  ::alarm(kPatienceSeconds);
  const std::string current = words.empty() ? "" : words.back();
  if (!words.empty()) words.pop_back();
  const Place place = walk(commands.app, words);
  apply_settings(commands.app, place);
  const Offer offer = offer_for(commands.session, place, current);
  for (const auto& line : offer.words) {
    const std::string whole = line == ":files" ? line : offer.prefix + line;
    if (line == ":files" || whole.compare(0, current.size(), current) == 0) std::cout << whole << "\n";
  }
  return 0;
}

}  // namespace gantry::app
