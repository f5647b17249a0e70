#include "qemu/guest_agent.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

#include "qemu/guest_agent_dialogue.h"
#include "runtime/clock.h"

namespace gantry::qemu {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// One round without an answer may be a busy guest; this many in a row are an agent that went away.
constexpr int kFailedRoundsMax = 2;

bool same(const v1::GuestFacts& left, const v1::GuestFacts& right) {
  return left.SerializeAsString() == right.SerializeAsString();
}

}  // namespace

// Kept alive by the handlers under way; `stopped_` once the poller is gone.
class GuestAgentPoller::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(asio::io_context& context, std::string path, Callback on_change, const GuestAgentTiming& timing)
      : path_(std::move(path)),
        on_change_(std::move(on_change)),
        timing_(timing),
        socket_(context),
        timer_(context),
        fast_rounds_left_(timing.fast_rounds_at_first),
        sync_id_(static_cast<std::uint32_t>(runtime::real_now().unix_ms)) {}

  void start() { begin_round_after(0); }

  void stop() {
    stopped_ = true;
    timer_.cancel();
    disconnect();
  }

  void hurry() {
    fast_rounds_left_ = timing_.fast_rounds_at_first;
    if (!dialogue_) begin_round_after(0);
  }

 private:
  void begin_round_after(Milliseconds delay_ms) {
    call_after(delay_ms, [](Session& self) { self.begin_round(); });
  }

  // Replaces what was waited for before.
  void call_after(Milliseconds delay_ms, void (*work)(Session&)) {
    timer_.expires_after(std::chrono::milliseconds(delay_ms));
    timer_.async_wait([self = shared_from_this(), work, wait = ++wait_](const error_code& error) {
      if (!error && !self->stopped_ && wait == self->wait_) work(*self);
    });
  }

  void begin_round() {
    dialogue_.emplace(++sync_id_);
    if (!socket_.is_open() && !connect()) {
      end_round(false);
      return;
    }
    call_after(timing_.sync_timeout_ms, [](Session& self) { self.sync_timed_out(); });
    send();
    if (!reading_) read();
  }

  // At once, or not: the other end may be busy with somebody else. A path too long for a socket throws.
  bool connect() try {
    error_code error;
    socket_.open(asio::local::stream_protocol(), error);
    if (!error) socket_.non_blocking(true, error);
    if (!error) ::fcntl(socket_.native_handle(), F_SETFD, FD_CLOEXEC);
    if (!error) socket_.connect(asio::local::stream_protocol::endpoint(path_), error);
    if (error) disconnect();
    return !error;
  } catch (const std::exception&) {
    disconnect();
    return false;
  }

  void disconnect() {
    error_code ignored;
    socket_.close(ignored);
    ++connection_;
    reading_ = false;
  }

  void sync_timed_out() {
    if (!dialogue_->synced()) {
      end_round(false);
    } else {
      call_after(std::max<Milliseconds>(0, timing_.round_timeout_ms - timing_.sync_timeout_ms),
                 [](Session& self) { self.end_round(false); });
    }
  }

  void send() {
    auto output = std::make_shared<std::string>(dialogue_->take_output());
    if (output->empty()) return;
    asio::async_write(
        socket_, asio::buffer(*output),
        [self = shared_from_this(), output, connection = connection_](const error_code& error, std::size_t) {
          if (self->stopped_ || !error || connection != self->connection_) return;
          if (self->dialogue_) self->end_round(false);
        });
  }

  // Only while a round is under way, so that a guest that never stops talking costs nothing in between.
  void read() {
    reading_ = true;
    socket_.async_read_some(asio::buffer(input_), [self = shared_from_this(), connection = connection_](
                                                      const error_code& error, std::size_t count) {
      if (self->stopped_ || connection != self->connection_) return;
      self->reading_ = false;
      self->take_input(error, count);
    });
  }

  void take_input(const error_code& error, std::size_t count) {
    if (!dialogue_) {
      if (error) disconnect();
      return;
    }
    if (error || !dialogue_->feed({input_.data(), count})) {
      end_round(false);
    } else if (dialogue_->done()) {
      end_round(true);
    } else {
      send();
      read();
    }
  }

  void end_round(bool answered) {
    v1::GuestFacts facts = dialogue_->facts();
    dialogue_.reset();
    if (answered) {
      failed_rounds_ = 0;
      if (!told_.agent_connected()) fast_rounds_left_ = timing_.fast_rounds_after_contact;
    } else {
      // A new connection, so that questions nobody reads do not pile up.
      disconnect();
      facts = told_;
      if (++failed_rounds_ >= kFailedRoundsMax) facts.set_agent_connected(false);
    }
    begin_round_after(fast_rounds_left_ > 0 ? timing_.fast_ms : timing_.slow_ms);
    fast_rounds_left_ = std::max(0, fast_rounds_left_ - 1);
    if (same(facts, told_)) return;
    told_ = std::move(facts);
    // The callback may end the poller: nothing after it.
    const Callback on_change = on_change_;
    on_change(v1::GuestFacts(told_));
  }

  std::string path_;
  Callback on_change_;
  GuestAgentTiming timing_;
  asio::local::stream_protocol::socket socket_;
  asio::steady_timer timer_;
  std::uint64_t wait_ = 0;
  // Counts the connections, so that answers to a former one are known.
  std::uint64_t connection_ = 0;
  bool reading_ = false;
  bool stopped_ = false;
  std::array<char, 4096> input_{};
  // The round under way.
  std::optional<GuestAgentDialogue> dialogue_;
  int fast_rounds_left_;
  int failed_rounds_ = 0;
  std::uint32_t sync_id_;
  v1::GuestFacts told_;
};

GuestAgentPoller::GuestAgentPoller(asio::io_context& context, std::string socket_path, Callback on_change,
                                   const GuestAgentTiming& timing)
    : session_(std::make_shared<Session>(context, std::move(socket_path), std::move(on_change), timing)) {
  session_->start();
}

GuestAgentPoller::~GuestAgentPoller() { session_->stop(); }

void GuestAgentPoller::hurry() { session_->hurry(); }

}  // namespace gantry::qemu
