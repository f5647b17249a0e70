// What all connections of a server share, and what the server asks of each of them.
//
// Threads: the server's loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "port/console.h"
#include "runtime/worker_pool.h"
#include "server/api_handler.h"
#include "server/api_server.h"
#include "server/event_hub.h"
#include "server/poster.h"

namespace gantry::server {

class ConnectionBase;

struct Edge {
  boost::asio::io_context& context;
  PosterPtr poster;
  const ApiServerOptions& options;
  ApiHandler& api;
  EventHub& events;
  port::Console& console;
  // For writing uploads.
  runtime::WorkerPool& files;
  std::map<std::uint64_t, std::shared_ptr<ConnectionBase>> connections = {};
  // Ids of images whose content is being received.
  std::set<std::string> uploading = {};
  std::size_t event_clients = 0;
  bool stopping = false;
};

// One client. The edge's table owns it; callbacks of others hold it weakly. A connection that becomes something else
// (events, console, upload) hands its socket to a successor under the same number.
class ConnectionBase : public std::enable_shared_from_this<ConnectionBase> {
 public:
  ConnectionBase(Edge& edge, std::uint64_t number) : edge_(edge), number_(number) {}
  virtual ~ConnectionBase() = default;
  ConnectionBase(const ConnectionBase&) = delete;
  ConnectionBase& operator=(const ConnectionBase&) = delete;

  // Ends as soon as what is under way allows.
  virtual void finish() = 0;
  // Closes the socket now; whatever was pending fails and leave() follows.
  virtual void abort() = 0;

  // Nothing of it is under way that anybody signed in waits for: it may be aborted to make room for another.
  [[nodiscard]] virtual bool is_spare() const { return false; }
  // Where its client is (network_of()).
  [[nodiscard]] const std::string& network() const { return network_; }

  // Out of the table; the caller keeps it alive until it returns.
  void leave() {
    const auto found = edge_.connections.find(number_);
    if (found != edge_.connections.end() && found->second.get() == this) edge_.connections.erase(found);
  }

 protected:
  template <class Self>
  std::shared_ptr<Self> self_as() {
    return std::static_pointer_cast<Self>(shared_from_this());
  }
  void hand_over_to(std::shared_ptr<ConnectionBase> next) {
    next->network_ = network_;
    edge_.connections[number_] = std::move(next);
  }
  void set_network(std::string network) { network_ = std::move(network); }
  Edge& edge() { return edge_; }
  [[nodiscard]] const Edge& edge() const { return edge_; }
  [[nodiscard]] std::uint64_t number() const { return number_; }

 private:
  Edge& edge_;
  std::uint64_t number_;
  std::string network_;
};

}  // namespace gantry::server
