// Care of an installation, by root on its own machine: what gantryd itself does, under the name one looks for.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "app/cli/commands.h"

namespace gantry::app {
namespace {

// Beside this program, or where packages put it.
std::string find_gantryd() {
  std::error_code error;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string beside = (own.parent_path() / "gantryd").string();
  return ::access(beside.c_str(), X_OK) == 0 ? beside : "/usr/sbin/gantryd";
}

// Becomes gantryd; returns only when that fails.
int become_gantryd(std::vector<std::string> words) {
  const std::string program = find_gantryd();
  words.insert(words.begin(), program);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  return report(Error{ErrorCode::not_found, "cannot run " + program, std::strerror(errno),
                      "run this on the machine whose records they are, where gantryd is installed"});
}

struct MigrateWords {
  std::string store;
  std::string ca;
  std::string certificate;
  std::string key;
  std::string state_directory;
};

void add_migrate_store(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "migrate-store", "Move this machine's records to etcd, with its guests running",
                               "systemctl stop gantryd\n"
                               "gantry admin migrate-store --store etcd://10.0.0.1:2379,10.0.0.2:2379 --dry-run\n"
                               "gantry admin migrate-store --store etcd://10.0.0.1:2379,10.0.0.2:2379");
  auto words = std::make_shared<MigrateWords>();
  command
      ->add_option("--store", words->store, "Where to: etcd://HOST:PORT,HOST:PORT; what gantryd.conf says if not given")
      ->type_name("URL");
  command->add_option("--store-ca", words->ca, "PEM file with the authority of etcd's nodes")->type_name("FILE");
  command->add_option("--store-certificate", words->certificate, "PEM file with gantryd's certificate for etcd")
      ->type_name("FILE");
  command->add_option("--store-key", words->key, "PEM file with that certificate's key")->type_name("FILE");
  command->add_option("--state-dir", words->state_directory, "gantryd's, if not the usual one")->type_name("FILE");
  commands.run(command, [&session = commands.session, words] {
    std::vector<std::string> all{"migrate-store"};
    for (const auto& [name, value] : {std::pair<std::string, std::string>{"--store", words->store},
                                      {"--store-ca", words->ca},
                                      {"--store-certificate", words->certificate},
                                      {"--store-key", words->key},
                                      {"--state-dir", words->state_directory}}) {
      if (value.empty()) continue;
      all.push_back(name);
      all.push_back(value);
    }
    if (session.options.dry_run) all.emplace_back("--dry-run");
    return become_gantryd(std::move(all));
  });
}

}  // namespace

void add_admin_commands(const Commands& commands) {
  auto* group = commands.group("admin", "Care of an installation, as root on its machine",
                               "gantry admin migrate-store --store etcd://10.0.0.1:2379 --dry-run");
  add_migrate_store(commands, *group);
}

}  // namespace gantry::app
