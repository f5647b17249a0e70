// The processes behind EtcdCluster, and the clock of tests.
#include "store/etcd_test_cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <stdexcept>

#include "base/rng.h"
#include "base/unique_fd.h"
#include "store/etcd_test_store.h"

namespace gantry::store {
namespace {

constexpr int kFirstPort = 20'000;
constexpr int kPorts = 12'000;
constexpr int kNotInstalled = 127;

bool with_socket(int port, int (*what)(int, const sockaddr*, socklen_t)) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, loopback_host().c_str(), &address.sin_addr);
  // The sockets' own way of taking addresses of any kind.
  return what(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

std::string url(const std::string& scheme, int port) { return scheme + "://" + loopback_address(port); }

// Only what is safe between fork and exec.
[[noreturn]] void become_etcd(std::vector<char*>& arguments, const char* log, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  const int file = ::open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ::dup2(file, STDOUT_FILENO);
  ::dup2(file, STDERR_FILENO);
  const char* environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin", nullptr};
  for (const char* program : {"/usr/bin/etcd", "/usr/local/bin/etcd"}) {
    ::execve(program, arguments.data(), const_cast<char**>(environment));
  }
  ::_exit(kNotInstalled);
}

// A disk that others keep busy makes etcd give up requests that the tests count on: in memory, where there is room.
std::filesystem::path undisturbed_place() {
  constexpr std::uintmax_t kRoomBytes = 4ULL << 30;
  const std::filesystem::path memory = "/dev/shm";
  std::error_code failure;
  const auto space = std::filesystem::space(memory, failure);
  const bool fits = !failure && space.available >= kRoomBytes && ::access(memory.c_str(), W_OK) == 0;
  return fits ? memory : std::filesystem::temp_directory_path();
}

}  // namespace

Now test_now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<std::chrono::milliseconds>(since).count(), 0};
}

const std::string& loopback_host() {
  static const std::string host = [] {
    Rng rng(std::random_device{}());
    const auto part = [&] { return "." + std::to_string(1 + rng.below(254)); };
    return "127" + part() + part() + part();
  }();
  return host;
}

std::string loopback_address(int port) { return loopback_host() + ":" + std::to_string(port); }

int free_port() {
  static int next = 0;
  for (;;) {
    const int port = kFirstPort + next++ % kPorts;
    if (with_socket(port, ::bind)) return port;
  }
}

EtcdCluster::EtcdCluster(Options options) : options_(std::move(options)), directory_(undisturbed_place()) {
  nodes_.resize(static_cast<std::size_t>(options_.nodes));
  // Somebody else who listens everywhere may take a port before a node does.
  for (int attempt = 0; attempt < 5; ++attempt) {
    choose_ports();
    for (int node = 0; node < options_.nodes; ++node) start(node);
    bool all = true;
    for (int node = 0; node < options_.nodes && all; ++node) all = wait_until_it_listens(node);
    if (all) return;
    stop_all();
    for (int node = 0; node < options_.nodes; ++node) {
      std::filesystem::remove_all(directory_.file("data" + std::to_string(node)));
    }
  }
  throw std::runtime_error("etcd does not start: " + last_words(0));
}

EtcdCluster::~EtcdCluster() {
  stop_all();
  if (!::testing::Test::HasFailure()) return;
  for (int node = 0; node < options_.nodes; ++node) {
    std::cerr << "what node " << node << " said last:\n" << last_words(node) << '\n';
  }
}

std::vector<std::string> EtcdCluster::endpoints(int first) const {
  std::vector<std::string> all;
  for (int node = 0; node < options_.nodes; ++node) {
    const Node& one = nodes_[static_cast<std::size_t>((first + node) % options_.nodes)];
    all.push_back(loopback_address(one.client_port));
  }
  return all;
}

void EtcdCluster::choose_ports() {
  for (Node& node : nodes_) {
    node.client_port = free_port();
    node.peer_port = free_port();
  }
}

void EtcdCluster::start(int node) {
  std::string cluster;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    cluster += (i == 0 ? "n" : ",n") + std::to_string(i) + "=" + url("http", nodes_[i].peer_port);
  }
  Node& self = nodes_[static_cast<std::size_t>(node)];
  const std::string client = url(options_.scheme, self.client_port);
  const std::string peer = url("http", self.peer_port);
  const std::string number = std::to_string(node);
  std::vector<std::string> words{"etcd", "--name=n" + number, "--data-dir=" + directory_.file("data" + number),
                                 "--listen-client-urls=" + client, "--advertise-client-urls=" + client,
                                 "--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
                                 "--initial-cluster=" + cluster, "--initial-cluster-state=new",
                                 // None of these tests takes the machine's power away.
                                 "--unsafe-no-fsync", "--logger=zap", "--log-level=warn", "--log-outputs=stderr"};
  words.insert(words.end(), options_.arguments.begin(), options_.arguments.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::string log = directory_.file("log" + number);
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process < 0) throw std::runtime_error("cannot start a process");
  if (process == 0) become_etcd(arguments, log.c_str(), parent);
  self.process = process;
}

bool EtcdCluster::wait_until_it_listens(int node) {
  Node& self = nodes_[static_cast<std::size_t>(node)];
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < until) {
    int status = 0;
    if (::waitpid(self.process, &status, WNOHANG) == self.process) {
      self.process = 0;
      if (WIFEXITED(status) && WEXITSTATUS(status) == kNotInstalled) {
        throw std::runtime_error("etcd is not installed: apt-get install etcd-server (./check does it)");
      }
      return false;
    }
    if (with_socket(self.client_port, ::connect)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  throw std::runtime_error("an etcd node does not listen in time: " + last_words(node));
}

std::string EtcdCluster::last_words(int node) const {
  std::ifstream file(directory_.file("log" + std::to_string(node)));
  std::ostringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  return all.size() > 2'000 ? all.substr(all.size() - 2'000) : all;
}

void EtcdCluster::kill(int node) {
  Node& self = nodes_[static_cast<std::size_t>(node)];
  if (self.process == 0) return;
  ::kill(self.process, SIGKILL);
  ::waitpid(self.process, nullptr, 0);
  self.process = 0;
}

void EtcdCluster::restart(int node) {
  start(node);
  if (!wait_until_it_listens(node)) throw std::runtime_error("an etcd node does not start again: " + last_words(node));
}

void EtcdCluster::cut_off(int node) {
  const pid_t process = nodes_[static_cast<std::size_t>(node)].process;
  ::kill(process, SIGSTOP);
  // While one of its threads waits for a disk, the others go on: a cluster that lost its majority still commits.
  int status = 0;
  ::waitpid(process, &status, WUNTRACED);
}
void EtcdCluster::join_again(int node) { ::kill(nodes_[static_cast<std::size_t>(node)].process, SIGCONT); }

void EtcdCluster::stop_all() {
  for (int node = 0; node < options_.nodes; ++node) kill(node);
}

}  // namespace gantry::store
