// Brings work from any thread to the server's loop, until closed: after that work is dropped. It outlives the server in
// the callbacks that others hold.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace gantry::server {

class Poster {
 public:
  explicit Poster(std::function<void(std::function<void()>)> post) : post_(std::move(post)) {}

  void post(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    if (post_) post_(std::move(work));
  }
  // When it has returned, nothing is posted any more.
  void close() {
    const std::lock_guard lock(mutex_);
    post_ = nullptr;
  }

 private:
  std::mutex mutex_;
  std::function<void(std::function<void()>)> post_;
};

using PosterPtr = std::shared_ptr<Poster>;

}  // namespace gantry::server
