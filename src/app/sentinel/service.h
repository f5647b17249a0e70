// The sentinel process that serves: a Keeper, its clients and its partner over one loop.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>

#include "app/sentinel/keeper.h"
#include "app/sentinel/pair.h"
#include "qemu/event_io.h"
#include "runtime/event_loop.h"

namespace gantry::sentinel {

// Where clients connect.
std::string socket_path(const std::string& state_directory);

class Service {
 public:
  Service(SharedFiles files, std::string state_directory, runtime::BootTimer timer,
          std::optional<Inheritance> inheritance);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Until there is nothing to guard and nobody to ask for it. To be followed by _exit: threads may hang in the kernel.
  void run();

 private:
  struct Client {
    std::shared_ptr<qemu::SocketStream> stream;
    Lines lines;
  };

  void accept_clients();
  void accept_later();
  bool accept_one();
  void take(const std::shared_ptr<Client>& client, std::string_view line);
  void leave(const std::shared_ptr<Client>& client);
  void beat();

  SharedFiles files_;
  std::string state_directory_;
  runtime::EventLoop loop_;
  Partner partner_;
  Keeper keeper_;
  std::unique_ptr<qemu::ReadableWatch> listener_watch_;
  std::list<std::shared_ptr<Client>> clients_;
  int idle_beats_ = 0;
};

}  // namespace gantry::sentinel
