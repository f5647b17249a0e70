#include "qemu/console_hub.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "qemu/event_io.h"
#include "runtime/event_loop.h"

namespace gantry::qemu {
namespace {

constexpr std::size_t kReplayMax = 64U << 10U;
// What users typed and the guest did not read.
constexpr std::size_t kUnsentMax = 64U << 10U;
constexpr std::size_t kLogStep = 1U << 20U;

}  // namespace

// What a session's owner and the loop share. The lock makes the destruction of a session wait for a callback under way
// on another thread; it is recursive since a callback may destroy its session.
class ConsoleViewer {
 public:
  ConsoleViewer(std::function<void(std::string_view)> output, std::function<void()> closed)
      : output_(std::move(output)), closed_(std::move(closed)) {}

  void give(std::string_view bytes) {
    const std::lock_guard lock(mutex_);
    if (alive_ && output_ && !bytes.empty()) output_(bytes);
  }
  void end() {
    const std::lock_guard lock(mutex_);
    if (std::exchange(alive_, false) && closed_) closed_();
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    alive_ = false;
  }

 private:
  std::recursive_mutex mutex_;
  bool alive_ = true;
  std::function<void(std::string_view)> output_;
  std::function<void()> closed_;
};

class ConsoleLine {
 public:
  ConsoleLine(std::string replay, std::function<void()> on_log_grown)
      : replay_(std::move(replay)), on_log_grown_(std::move(on_log_grown)) {}

  void connect(std::shared_ptr<SocketStream> stream) { stream_ = std::move(stream); }

  void take(std::string_view bytes) {
    replay_.append(bytes);
    if (replay_.size() > 2 * kReplayMax) replay_.erase(0, replay_.size() - kReplayMax);
    said_ += bytes.size();
    if (said_ >= kLogStep) {
      said_ = 0;
      on_log_grown_();
    }
    // A copy: a viewer may leave or come meanwhile.
    for (const auto& viewer : std::vector(viewers_)) viewer->give(bytes);
  }

  void end() {
    stream_->close();
    ended_ = true;
    for (const auto& viewer : std::exchange(viewers_, {})) viewer->end();
  }

  void join(const std::shared_ptr<ConsoleViewer>& viewer) {
    const std::size_t kept = std::min(replay_.size(), kReplayMax);
    viewer->give(std::string_view(replay_).substr(replay_.size() - kept));
    if (ended_) {
      viewer->end();
    } else {
      viewers_.push_back(viewer);
    }
  }

  void drop(const std::shared_ptr<ConsoleViewer>& viewer) { std::erase(viewers_, viewer); }

  void type(std::string_view bytes) {
    if (!ended_ && stream_->unsent() + bytes.size() <= kUnsentMax) stream_->send(bytes);
  }

 private:
  std::shared_ptr<SocketStream> stream_;
  std::string replay_;
  std::function<void()> on_log_grown_;
  std::size_t said_ = 0;
  bool ended_ = false;
  std::vector<std::shared_ptr<ConsoleViewer>> viewers_;
};

namespace {

class HubSession final : public port::ConsoleSession {
 public:
  HubSession(runtime::EventLoop& loop, std::shared_ptr<ConsoleLine> line, std::shared_ptr<ConsoleViewer> viewer)
      : loop_(loop), line_(std::move(line)), viewer_(std::move(viewer)) {}
  HubSession(const HubSession&) = delete;
  HubSession& operator=(const HubSession&) = delete;
  ~HubSession() override {
    viewer_->leave();
    // A guest may be silent for ever: what was kept for one who left goes without a word of it.
    loop_.post([line = std::move(line_), viewer = std::move(viewer_)] { line->drop(viewer); });
  }

  void write(std::string_view bytes) override {
    loop_.post([line = line_, text = std::string(bytes)] { line->type(text); });
  }

 private:
  runtime::EventLoop& loop_;
  std::shared_ptr<ConsoleLine> line_;
  std::shared_ptr<ConsoleViewer> viewer_;
};

}  // namespace

ConsoleHub::ConsoleHub(runtime::EventLoop& loop) : loop_(loop) {}

ConsoleHub::~ConsoleHub() {
  const std::lock_guard lock(mutex_);
  for (auto& [vm_id, line] : lines_) line->end();
}

void ConsoleHub::attach(const std::string& vm_id, UniqueFd connected, std::string replay,
                        std::function<void()> on_log_grown) {
  auto line = std::make_shared<ConsoleLine>(std::move(replay), std::move(on_log_grown));
  const std::weak_ptr<ConsoleLine> weak = line;
  line->connect(open_stream(loop_, std::move(connected),
                            {.on_bytes =
                                 [weak](std::string_view bytes) {
                                   if (const auto self = weak.lock()) self->take(bytes);
                                 },
                             .on_closed =
                                 [weak, this, vm_id] {
                                   const auto self = weak.lock();
                                   if (!self) return;
                                   {
                                     const std::lock_guard lock(mutex_);
                                     const auto found = lines_.find(vm_id);
                                     if (found != lines_.end() && found->second == self) lines_.erase(found);
                                   }
                                   self->end();
                                 }}));
  std::shared_ptr<ConsoleLine> before;
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(lines_[vm_id], std::move(line));
  }
  if (before) before->end();
}

Result<std::unique_ptr<port::ConsoleSession>> ConsoleHub::open(const std::string& vm_id,
                                                               std::function<void(std::string_view bytes)> output,
                                                               std::function<void()> closed) {
  std::shared_ptr<ConsoleLine> line;
  {
    const std::lock_guard lock(mutex_);
    const auto found = lines_.find(vm_id);
    if (found == lines_.end()) {
      return fail(ErrorCode::conflict, "virtual machine " + vm_id + " has no console now",
                  "it does not run, or its console is still being connected",
                  "start it first, or try again in a few seconds", "not_running");
    }
    line = found->second;
  }
  auto viewer = std::make_shared<ConsoleViewer>(std::move(output), std::move(closed));
  loop_.post([line, viewer] { line->join(viewer); });
  return std::make_unique<HubSession>(loop_, std::move(line), std::move(viewer));
}

}  // namespace gantry::qemu
