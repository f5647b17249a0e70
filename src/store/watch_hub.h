// The watches of one store in this process: whom to tell of a change, and how a watch ends safely while it is told.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "port/store.h"

namespace gantry::store {

// One watch, shared by the store (which tells) and its owner (who ends it). Any thread may call anything.
class WatchSlot {
 public:
  WatchSlot(std::string prefix, port::WatchCallback callback)
      : prefix_(std::move(prefix)), callback_(std::move(callback)) {}

  [[nodiscard]] const std::string& prefix() const { return prefix_; }
  // Tells of those changes of `batch` that are watched, if any.
  void deliver(const port::ChangeBatch& batch);
  // The last call of this watch.
  void fail(port::StoreError error);
  // No callback begins after this; waits for one under way on another thread, so its owner may go away.
  void end();
  [[nodiscard]] bool ended() const;

 private:
  void call(Result<port::ChangeBatch, port::StoreError> news, bool last);

  const std::string prefix_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  port::WatchCallback callback_;
  bool ended_ = false;
  // The thread a callback runs on; none: no callback is under way.
  std::thread::id caller_;
};

// The owner's end of a slot. `source` is what feeds the slot, if that must be kept alive as long.
std::unique_ptr<port::Watch> make_watch(std::shared_ptr<WatchSlot> slot, std::unique_ptr<port::Watch> source = nullptr);

// All watches that have caught up with the present. Used from one thread at a time.
class WatchHub {
 public:
  void add(std::shared_ptr<WatchSlot> slot) { slots_.push_back(std::move(slot)); }
  void deliver(const port::ChangeBatch& batch);
  // Ends all without a word.
  void close();

 private:
  std::vector<std::shared_ptr<WatchSlot>> slots_;
};

}  // namespace gantry::store
