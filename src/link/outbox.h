// What waits to be sent to a peer that reads slowly. Messages are levels: of each record only the newest waits, so that
// what waits is never more than there is to say, however slow the peer and however long.
//
// Threads: one.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "gantry/v1/link.pb.h"

namespace gantry::link {

// Of a manager to one host.
class ToHostOutbox {
 public:
  void add(const v1::ToHost& message);
  // All that waits as one message; nothing when nothing does.
  std::optional<v1::ToHost> take();
  [[nodiscard]] std::size_t size() const { return assignments_.size(); }

 private:
  std::map<std::string, v1::Assignment> assignments_;
  bool waiting_ = false;
  bool complete_ = false;
  std::uint64_t sequence_ = 0;
};

// Of a host to its manager.
class FromHostOutbox {
 public:
  void add(const v1::FromHost& message);
  std::optional<v1::FromHost> take();

 private:
  // Without its observations and samples.
  std::optional<v1::FromHost> frame_;
  std::map<std::string, v1::Observation> observations_;
  std::map<std::string, v1::Sample> samples_;
};

}  // namespace gantry::link
