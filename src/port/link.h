// The host link as both ends see it. Within one process it is a pair of queues; between machines a gRPC stream
// (src/link). Messages may be lost with a connection; after each connect both sides send everything anew.
#pragma once

#include <functional>
#include <string>

#include "gantry/v1/link.pb.h"

namespace gantry::port {

// What the manager knows of a host that wants to connect.
enum class Standing {
  member,
  stranger,       // it was never of the cluster, or left it
  not_yet_known,  // the records were not read yet: it may come again in a moment
};

// The manager's end. Callbacks come on the manager's executor.
class ManagerLink {
 public:
  virtual ~ManagerLink() = default;
  // Dropped silently when the host is not connected.
  virtual void send(const std::string& host_id, const v1::ToHost& message) = 0;
  virtual void on_message(std::function<void(const v1::FromHost&)> handler) = 0;
  // Connected or lost.
  virtual void on_connection(std::function<void(const std::string& host_id, bool connected)> handler) = 0;
  // Asked of every host before it is connected, where hosts come from outside: only members are. Messages are stamped
  // with the id that the connection proved.
  virtual void on_admission(std::function<Standing(const std::string& host_id)> handler) = 0;
  // Ends the connection of a host that is of the cluster no more, at once.
  virtual void drop(const std::string& host_id) = 0;
};

// The host's end. Callbacks come on the host's executor.
class HostLink {
 public:
  virtual ~HostLink() = default;
  virtual void send(const v1::FromHost& message) = 0;
  virtual void on_message(std::function<void(const v1::ToHost&)> handler) = 0;
  virtual void on_connection(std::function<void(bool connected)> handler) = 0;
};

}  // namespace gantry::port
