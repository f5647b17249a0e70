#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>
#include <iostream>

#include "app/cli/commands.h"
#include "app/cli/reach.h"

namespace gantry::app {
namespace {

// The terminal passes every key on until this is gone.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(0, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    active_ = ::tcsetattr(0, TCSANOW, &raw) == 0;
  }
  ~RawTerminal() {
    if (active_) ::tcsetattr(0, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
  bool active_ = false;
};

int open_console(Session& session, const std::string& name) {
  auto client = session.api();
  if (!client) return report(client.error());
  if (::isatty(0) != 0) std::cerr << "Console of " << name << "; leave with Ctrl-]. Press Enter if it is quiet.\r\n";
  Result<void> ended;
  {
    const RawTerminal raw;
    ended = (*client)->run_console(name, ConsoleEnds{});
  }
  if (!ended) return report(ended.error());
  if (::isatty(0) != 0) std::cerr << "\nleft the console of " << name << "\n";
  return 0;
}

struct Endpoint {
  std::string address;
  std::string port = "22";
};

// A forwarded port 22 where there is one: it works from this machine whatever the network; else the guest's address.
Endpoint endpoint_of(const v1::Vm& vm) {
  for (const auto& nic : vm.spec().nics()) {
    for (const auto& forward : nic.port_forwards()) {
      if (forward.guest_port() == 22 && forward.protocol() == v1::PortForward::TCP && forward.host_port() != 0) {
        const bool local = forward.host_address().empty() || forward.host_address() == "0.0.0.0";
        return {local ? "127.0.0.1" : forward.host_address(), std::to_string(forward.host_port())};
      }
    }
  }
  for (const auto& nic : vm.spec().nics()) {
    if (!nic.ipv4().empty()) return {nic.ipv4()};
  }
  for (const auto& interface : vm.status().guest().interfaces()) {
    for (const auto& address : interface.addresses()) {
      const std::string bare = address.substr(0, address.find('/'));
      // Said by the guest: only what has the form of an address goes to ssh.
      const bool is_ipv4 = !bare.empty() && bare.find_first_not_of("0123456789.") == std::string::npos;
      if (is_ipv4 && bare.substr(0, 4) != "127.") return {bare};
    }
  }
  return {};
}

Error no_address(const std::string& name, bool elsewhere) {
  const std::string summary = "cannot reach VM " + name + " by SSH";
  if (elsewhere) {
    return Error{
        ErrorCode::unavailable, summary, "it is on another host than the server, behind that host's NAT or loopback",
        "run ssh on that host, launch it with --forward ADDRESS:2222:22 (an address of that host), or put it on "
        "a network of kind bridge"};
  }
  return Error{ErrorCode::unavailable, summary, "it has no known address",
               "see that it runs and has a NIC: gantry show " + name + "; or use: gantry console " + name};
}

struct SshOptions {
  std::string target;
  std::string identity;
  std::vector<std::string> words;
};

int run_ssh(Session& session, const SshOptions& options) {
  const auto at = options.target.find('@');
  const std::string user = at == std::string::npos ? "" : options.target.substr(0, at);
  const std::string name = at == std::string::npos ? options.target : options.target.substr(at + 1);
  auto client = session.api();
  if (!client) return report(client.error());
  v1::ById request;
  request.set_id(name);
  auto vm = (*client)->call<v1::Vm>("GetVm", request);
  if (!vm) return report(vm.error());
  const bool elsewhere = keep_reachable(**client, *vm);
  const Endpoint endpoint = endpoint_of(*vm);
  if (endpoint.address.empty()) return report(no_address(name, elsewhere));
  const std::string& cloud_user = vm->spec().cloud_init().user();
  const std::string login = !user.empty() ? user : !cloud_user.empty() ? cloud_user : "debian";
  // A VM made anew may have an old one's address: its key is kept under the VM's id, not the address.
  std::vector<std::string> arguments = {"ssh",
                                        "-o",
                                        "StrictHostKeyChecking=accept-new",
                                        "-o",
                                        "HostKeyAlias=gantry-" + vm->meta().id(),
                                        "-p",
                                        endpoint.port,
                                        "-l",
                                        login};
  if (!options.identity.empty()) arguments.insert(arguments.end(), {"-i", options.identity});
  arguments.push_back(endpoint.address);
  arguments.insert(arguments.end(), options.words.begin(), options.words.end());
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execvp("ssh", argv.data());
  return report(
      Error{ErrorCode::unsupported, "cannot run ssh", std::strerror(errno), "apt-get install openssh-client"});
}

}  // namespace

void add_guest_access_commands(const Commands& commands) {
  auto* console = commands.add(commands.app, "console", "Use a guest's serial console; leave with Ctrl-]",
                               "gantry console web\necho uptime | gantry console web");
  auto name = std::make_shared<std::string>();
  console->add_option("name", *name, "Name or id")->required()->type_name("VM");
  commands.run(console, [&session = commands.session, name] { return open_console(session, *name); });

  auto* ssh = commands.add(commands.app, "ssh", "Sign in to a guest by SSH, or run a command in it",
                           "gantry ssh web\ngantry ssh web -- uptime\ngantry ssh -i ~/.ssh/lab_key root@web");
  auto options = std::make_shared<SshOptions>();
  ssh->add_option("name", options->target, "[USER@]NAME or id")->required()->type_name("VM");
  ssh->add_option("command", options->words, "Command to run in the guest; put -- before it");
  ssh->add_option("-i,--identity", options->identity, "File with the private key to sign in with")
      ->type_name("FILE")
      ->check(CLI::ExistingFile.description(""));
  commands.run(ssh, [&session = commands.session, options] { return run_ssh(session, *options); });
}

}  // namespace gantry::app
