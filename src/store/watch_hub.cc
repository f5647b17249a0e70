#include "store/watch_hub.h"

#include <utility>

#include "store/rules.h"

namespace gantry::store {
namespace {

class OwnedWatch final : public port::Watch {
 public:
  OwnedWatch(std::shared_ptr<WatchSlot> slot, std::unique_ptr<port::Watch> source)
      : slot_(std::move(slot)), source_(std::move(source)) {}
  ~OwnedWatch() override { slot_->end(); }
  OwnedWatch(const OwnedWatch&) = delete;
  OwnedWatch& operator=(const OwnedWatch&) = delete;

 private:
  std::shared_ptr<WatchSlot> slot_;
  std::unique_ptr<port::Watch> source_;
};

}  // namespace

void WatchSlot::deliver(const port::ChangeBatch& batch) {
  port::ChangeBatch below = changes_below(batch, prefix_);
  if (!below.changes.empty()) call(std::move(below), false);
}

void WatchSlot::fail(port::StoreError error) { call(tl::unexpected<port::StoreError>(error), true); }

void WatchSlot::call(Result<port::ChangeBatch, port::StoreError> news, bool last) {
  // Destroyed after the lock is given back: what it captured may take other locks when it goes.
  port::WatchCallback spent;
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return caller_ == std::thread::id(); });
  if (ended_) return;
  if (last) ended_ = true;
  caller_ = std::this_thread::get_id();
  lock.unlock();
  callback_(std::move(news));
  lock.lock();
  caller_ = std::thread::id();
  if (ended_) spent = std::exchange(callback_, nullptr);
  idle_.notify_all();
}

void WatchSlot::end() {
  port::WatchCallback spent;
  std::unique_lock lock(mutex_);
  ended_ = true;
  if (caller_ == std::this_thread::get_id()) return;
  idle_.wait(lock, [this] { return caller_ == std::thread::id(); });
  spent = std::exchange(callback_, nullptr);
}

bool WatchSlot::ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

std::unique_ptr<port::Watch> make_watch(std::shared_ptr<WatchSlot> slot, std::unique_ptr<port::Watch> source) {
  return std::make_unique<OwnedWatch>(std::move(slot), std::move(source));
}

void WatchHub::deliver(const port::ChangeBatch& batch) {
  std::erase_if(slots_, [](const auto& slot) { return slot->ended(); });
  for (const auto& slot : slots_) slot->deliver(batch);
}

void WatchHub::close() {
  for (const auto& slot : slots_) slot->end();
  slots_.clear();
}

}  // namespace gantry::store
