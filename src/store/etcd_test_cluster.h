// Real etcd nodes for tests: processes of their own on loopback, in a directory that goes away. They end with the test,
// however it ends; what they said last is printed when it failed.
#pragma once

#include <string>
#include <vector>

#include "store/test_support.h"

namespace gantry::store {

class EtcdCluster {
 public:
  struct Options {
    int nodes = 1;
    std::vector<std::string> arguments = {};
    // "https" needs certificates among `arguments`.
    std::string scheme = "http";
  };

  // Starts all and waits until each takes connections. Throws when that fails, and says so when etcd is not installed.
  EtcdCluster() : EtcdCluster(Options{}) {}
  explicit EtcdCluster(Options options);
  ~EtcdCluster();
  EtcdCluster(const EtcdCluster&) = delete;
  EtcdCluster& operator=(const EtcdCluster&) = delete;

  // HOST:PORT of each, beginning with `first`.
  [[nodiscard]] std::vector<std::string> endpoints(int first = 0) const;

  // As a machine that loses its power, and gets it back.
  void kill(int node);
  void restart(int node);
  // As a machine that is cut off: its connections stand but nothing comes.
  void cut_off(int node);
  void join_again(int node);

 private:
  struct Node {
    int client_port = 0;
    int peer_port = 0;
    pid_t process = 0;
  };

  void choose_ports();
  void start(int node);
  void stop_all();
  // False: it has ended.
  bool wait_until_it_listens(int node);
  [[nodiscard]] std::string last_words(int node) const;

  Options options_;
  TemporaryDirectory directory_;
  std::vector<Node> nodes_;
};

// An address of the loopback that only this process uses: tests that run side by side never talk to each other's nodes,
// and a port that a killed node gave back waits for it.
const std::string& loopback_host();
std::string loopback_address(int port);
// A port of it that nobody listens on, each time another.
int free_port();

}  // namespace gantry::store
