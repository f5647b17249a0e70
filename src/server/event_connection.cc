// GET /api/v1/events: a stream of server-sent events until either side ends it.
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <deque>

#include "server/change_event.h"
#include "server/http_connection.h"
#include "server/request_headers.h"

namespace gantry::server {
namespace {

constexpr Milliseconds kWriteMs = 30'000;

class EventConnection final : public ConnectionBase {
 public:
  explicit EventConnection(HandedOver from)
      : ConnectionBase(from.edge, from.number),
        stream_(std::move(from.stream)),
        credentials_(from.admitted.credentials),
        heartbeat_(from.edge.context) {
    ++edge().event_clients;
  }
  ~EventConnection() override { --edge().event_clients; }

  void start(const HandedOver& from) {
    const auto& request = dynamic_cast<const v1::EventsRequest&>(*from.admitted.message);
    const auto revision = parse_last_event_id(from.request->header("last-event-id"), request.from_revision());
    if (!revision) return refuse(revision.error());
    auto kinds = parse_kinds(request.kinds());
    if (!kinds) return refuse(kinds.error());
    if (edge().event_clients > edge().options.event_clients_max) {
      return refuse(Error{ErrorCode::unavailable, "too many clients follow the events",
                          "at most " + std::to_string(edge().options.event_clients_max) + " may", "try again later"});
    }
    begin(*revision, std::move(*kinds));
  }

  void finish() override { abort(); }
  void abort() override { end(); }

 private:
  void refuse(const Error& error) { answer_and_close(shared_from_this(), stream_, answer_for(error), false, false); }

  void begin(port::Revision revision, std::set<std::string> kinds) {
    std::string head =
        "HTTP/1.1 200 OK\r\nServer: gantryd\r\nContent-Type: text/event-stream\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n";
    for (const auto& [name, value] : security_headers()) head.append(name).append(": ").append(value).append("\r\n");
    // No deadline for reading: the client says nothing any more. Writes set their own.
    beast::get_lowest_layer(stream_).expires_never();
    watch_for_close();
    send(head + "\r\n");
    const std::weak_ptr<EventConnection> weak = self_as<EventConnection>();
    subscription_ = edge().events.subscribe(revision, std::move(kinds), [weak](const std::string& text) {
      if (const auto self = weak.lock()) self->send(text);
    });
    beat_later();
  }

  void watch_for_close() {
    stream_.async_read_some(asio::buffer(scratch_),
                            [self = self_as<EventConnection>()](const BeastError& error, std::size_t) {
                              if (error) return self->end();
                              self->watch_for_close();
                            });
  }

  void send(const std::string& text) {
    if (ended_) return;
    if (!queue_.empty() && queued_bytes_ + text.size() > edge().options.client_buffer_bytes_max) return end();
    queue_.push_back(text);
    queued_bytes_ += text.size();
    if (queue_.size() == 1) write_next();
  }

  void write_next() {
    expire_after(stream_, kWriteMs);
    asio::async_write(stream_, asio::buffer(queue_.front()),
                      [self = self_as<EventConnection>()](const BeastError& error, std::size_t) {
                        if (error) return self->end();
                        self->queued_bytes_ -= self->queue_.front().size();
                        self->queue_.pop_front();
                        if (!self->queue_.empty()) self->write_next();
                      });
  }

  void beat_later() {
    heartbeat_.expires_after(std::chrono::milliseconds(edge().options.heartbeat_ms));
    const std::weak_ptr<EventConnection> weak = self_as<EventConnection>();
    heartbeat_.async_wait([weak](const BeastError& error) {
      const auto self = weak.lock();
      if (error || !self || self->ended_) return;
      self->edge().api.check_credentials(self->credentials_, [weak](bool valid) {
        const auto alive = weak.lock();
        if (alive && !alive->ended_) alive->beat(valid);
      });
    });
  }

  void beat(bool valid) {
    if (!valid) return end();
    // With where it is, so that a client that saw no event of its kinds for long still resumes near.
    const port::Revision last = subscription_->last();
    send((last == 0 ? std::string() : "id: " + std::to_string(last) + "\n") + ": heartbeat\n\n");
    beat_later();
  }

  void end() {
    if (ended_) return;
    ended_ = true;
    const auto self = shared_from_this();
    subscription_.reset();
    heartbeat_.cancel();
    close_now(stream_);
    leave();
  }

  TlsStream stream_;
  Credentials credentials_;
  asio::steady_timer heartbeat_;
  std::unique_ptr<EventHub::Subscription> subscription_;
  std::deque<std::string> queue_;
  std::size_t queued_bytes_ = 0;
  char scratch_[256] = {};
  bool ended_ = false;
};

}  // namespace

std::shared_ptr<ConnectionBase> start_events(HandedOver from) {
  // The stream goes; the request and its fields are still read.
  auto connection = std::make_shared<EventConnection>(
      HandedOver{from.edge, from.number, std::move(from.stream), from.request, from.admitted});
  connection->start(from);
  return connection;
}

}  // namespace gantry::server
