// GET /api/v1/vms/{id}/console: a WebSocket onto a guest's serial console, bytes both ways.
#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <optional>

#include "gantry/v1/vm.pb.h"
#include "server/http_connection.h"

namespace gantry::server {
namespace {

namespace websocket = boost::beast::websocket;

constexpr std::size_t kInputBytesMax = 64U << 10U;
constexpr std::size_t kOutputBytesMax = 32U << 10U;
// Keystrokes and lines of text: not worth the compressor that each connection would keep.
constexpr bool kCompressed = false;

// The subprotocol to confirm: browsers want one of those they offered. Rather the one without a secret in it.
std::string chosen_subprotocol(const std::string& offered) {
  std::string chosen;
  for (std::size_t begin = 0; begin < offered.size();) {
    const std::size_t end = std::min(offered.find_first_of(", ", begin), offered.size());
    std::string one = offered.substr(begin, end - begin);
    if (one == "gantry.console") return one;
    if (one.rfind("gantry.bearer.", 0) == 0) chosen = one;
    begin = end + 1;
  }
  return chosen;
}

class ConsoleConnection final : public ConnectionBase {
 public:
  ConsoleConnection(HandedOver from, std::unique_ptr<HeaderParser> header)
      : ConnectionBase(from.edge, from.number),
        stream_(std::move(from.stream)),
        header_(std::move(header)),
        request_(std::move(from.request)),
        admitted_(std::move(from.admitted)),
        recheck_(from.edge.context) {}

  void start() {
    if (!websocket::is_upgrade(header_->get())) {
      return refuse(Error{ErrorCode::invalid_argument, "a console is a WebSocket", "the request asks for no upgrade",
                          "use a WebSocket client, or: gantry console"});
    }
    const std::weak_ptr<ConsoleConnection> weak = self_as<ConsoleConnection>();
    edge().api.call("GetVm", *admitted_.message, admitted_.options,
                    [weak](const Result<std::unique_ptr<google::protobuf::Message>>& answer) {
                      const auto self = weak.lock();
                      if (!self || self->ended_) return;
                      if (!answer) return self->refuse(answer.error());
                      const auto& vm = dynamic_cast<const v1::Vm&>(**answer);
                      if (self->is_elsewhere(vm)) return self->refuse_elsewhere(vm);
                      self->open_console(vm.meta().id());
                    });
  }

  void finish() override {
    if (!socket_ || !accepted_) return end();
    close_socket(websocket::close_reason(websocket::close_code::going_away, "the server stops"));
  }
  void abort() override { end(); }

 private:
  void refuse(const Error& error) {
    HttpAnswer answer = answer_for(error);
    edge().api.note(*request_, admitted_, answer);
    answer_and_close(shared_from_this(), stream_, std::move(answer), false, false);
  }

  [[nodiscard]] bool is_elsewhere(const v1::Vm& vm) const {
    const std::string& own = edge().options.own_host_id;
    const std::string& host_id = vm.placement().host_id();
    return !own.empty() && !host_id.empty() && host_id != own;
  }

  // By the host's name, which people know.
  void refuse_elsewhere(const v1::Vm& vm) {
    v1::ById request;
    request.set_id(vm.placement().host_id());
    const std::weak_ptr<ConsoleConnection> weak = self_as<ConsoleConnection>();
    edge().api.call("GetHost", request, admitted_.options,
                    [weak, vm](const Result<std::unique_ptr<google::protobuf::Message>>& answer) {
                      const auto self = weak.lock();
                      if (!self || self->ended_) return;
                      const auto* host = answer ? dynamic_cast<const v1::Host*>(answer->get()) : nullptr;
                      const std::string name = host != nullptr ? host->meta().name() : vm.placement().host_id();
                      self->refuse(Error{ErrorCode::unsupported,
                                         "the console of VM \"" + vm.meta().name() + "\" cannot be opened from here",
                                         "it is on host " + name + ", not on the manager's own machine",
                                         "on that host, as root, read /var/lib/gantry/vms/" + vm.meta().id() +
                                             "/console.log; or use SSH into the guest",
                                         "console_elsewhere"});
                    });
  }

  // Output that waits to come to the loop, so that a flood cannot pile up there.
  struct InFlight {
    std::atomic<std::size_t> bytes = 0;
  };

  void open_console(const std::string& vm_id) {
    const std::weak_ptr<ConsoleConnection> weak = self_as<ConsoleConnection>();
    const auto in_flight = std::make_shared<InFlight>();
    const std::size_t bytes_max = edge().options.client_buffer_bytes_max;
    auto on_output = [weak, in_flight, bytes_max, poster = edge().poster](std::string_view bytes) {
      const bool flooded = in_flight->bytes.fetch_add(bytes.size()) > bytes_max;
      poster->post([weak, in_flight, text = flooded ? std::string() : std::string(bytes), size = bytes.size()] {
        in_flight->bytes.fetch_sub(size);
        if (const auto self = weak.lock()) self->on_output(text, size);
      });
    };
    auto on_closed = [weak, poster = edge().poster] {
      poster->post([weak] {
        const auto self = weak.lock();
        if (self) self->on_guest_gone();
      });
    };
    auto opened = edge().console.open(vm_id, std::move(on_output), std::move(on_closed));
    if (!opened) return refuse(opened.error());
    session_ = std::move(*opened);
    accept();
  }

  void accept() {
    beast::get_lowest_layer(stream_).expires_never();
    socket_.emplace(std::move(stream_));
    websocket::stream_base::timeout timeouts{};
    timeouts.handshake_timeout = std::chrono::seconds(10);
    timeouts.idle_timeout = std::chrono::seconds(60);
    timeouts.keep_alive_pings = true;
    socket_->set_option(timeouts);
    const std::string protocol = chosen_subprotocol(request_->header("sec-websocket-protocol"));
    socket_->set_option(websocket::stream_base::decorator([protocol](websocket::response_type& response) {
      response.set(http::field::server, "gantryd");
      if (!protocol.empty()) response.set(http::field::sec_websocket_protocol, protocol);
    }));
    socket_->read_message_max(kInputBytesMax);
    socket_->binary(true);
    socket_->auto_fragment(false);
    upgrade_ = http::request<http::empty_body>(header_->release());
    socket_->async_accept(upgrade_, [self = self_as<ConsoleConnection>()](const BeastError& error) {
      if (error) return self->end();
      self->accepted_ = true;
      HttpAnswer opened;
      opened.status = static_cast<unsigned>(http::status::switching_protocols);
      self->edge().api.note(*self->request_, self->admitted_, opened);
      self->read_next();
      self->write_next();
      self->recheck_later();
    });
  }

  void read_next() {
    socket_->async_read(input_, [self = self_as<ConsoleConnection>()](const BeastError& error, std::size_t) {
      if (error || self->ended_) return self->end();
      const auto bytes = self->input_.data();
      self->session_->write({static_cast<const char*>(bytes.data()), bytes.size()});
      self->input_.consume(bytes.size());
      self->read_next();
    });
  }

  void on_output(const std::string& text, std::size_t size) {
    if (ended_ || closing_) return;
    // Part of it was dropped already, or would have to be: a console with gaps only misleads.
    if (text.size() != size || waiting_.size() + size > edge().options.client_buffer_bytes_max) return end();
    waiting_ += text;
    write_next();
  }

  void write_next() {
    if (!accepted_ || ended_ || !writing_.empty()) return;
    if (waiting_.empty()) {
      if (guest_gone_) close_socket(websocket::close_reason(websocket::close_code::normal, "the console ended"));
      return;
    }
    writing_.assign(waiting_, 0, kOutputBytesMax);
    waiting_.erase(0, kOutputBytesMax);
    socket_->async_write(asio::buffer(writing_),
                         [self = self_as<ConsoleConnection>()](const BeastError& error, std::size_t) {
                           if (error) return self->end();
                           self->writing_.clear();
                           self->write_next();
                         });
  }

  void on_guest_gone() {
    guest_gone_ = true;
    write_next();
  }

  void close_socket(const websocket::close_reason& reason) {
    if (closing_ || ended_) return;
    closing_ = true;
    socket_->async_close(reason, [self = self_as<ConsoleConnection>()](const BeastError&) { self->end(); });
  }

  void recheck_later() {
    recheck_.expires_after(std::chrono::milliseconds(edge().options.heartbeat_ms));
    const std::weak_ptr<ConsoleConnection> weak = self_as<ConsoleConnection>();
    recheck_.async_wait([weak](const BeastError& error) {
      const auto self = weak.lock();
      if (error || !self || self->ended_) return;
      self->edge().api.check_again(self->admitted_, [weak](bool valid) {
        const auto alive = weak.lock();
        if (!alive || alive->ended_) return;
        if (valid) return alive->recheck_later();
        alive->close_socket(websocket::close_reason(websocket::close_code::policy_error, "the login ended"));
      });
    });
  }

  void end() {
    if (ended_) return;
    ended_ = true;
    const auto self = shared_from_this();
    session_.reset();
    recheck_.cancel();
    if (socket_) {
      beast::get_lowest_layer(*socket_).close();
    } else {
      close_now(stream_);
    }
    leave();
  }

  TlsStream stream_;
  std::unique_ptr<HeaderParser> header_;
  RequestPtr request_;
  Admitted admitted_;
  asio::steady_timer recheck_;
  // Has stream_ once the console is open.
  std::optional<websocket::stream<TlsStream, kCompressed>> socket_;
  http::request<http::empty_body> upgrade_;
  std::unique_ptr<port::ConsoleSession> session_;
  beast::flat_buffer input_;
  // Output not yet being written, and the message that is.
  std::string waiting_;
  std::string writing_;
  bool accepted_ = false;
  bool guest_gone_ = false;
  bool closing_ = false;
  bool ended_ = false;
};

}  // namespace

std::shared_ptr<ConnectionBase> start_console(HandedOver from, std::unique_ptr<HeaderParser> header) {
  auto connection = std::make_shared<ConsoleConnection>(std::move(from), std::move(header));
  connection->start();
  return connection;
}

}  // namespace gantry::server
