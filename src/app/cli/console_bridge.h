// Joins a guest's serial console, a WebSocket, and a terminal. Heavy headers: see https_connection.h.
#pragma once

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <memory>

#include "app/cli/https_connection.h"

namespace gantry::app {

// Moves bytes both ways until one side ends.
class ConsoleBridge {
 public:
  // `connection` is open. The descriptors of `ends` stay the caller's and must outlive the bridge.
  ConsoleBridge(std::unique_ptr<HttpsConnection> connection, const ConsoleEnds& ends);
  ~ConsoleBridge();
  ConsoleBridge(const ConsoleBridge&) = delete;
  ConsoleBridge& operator=(const ConsoleBridge&) = delete;

  // The upgrade to a WebSocket. `upgrade_declined`: response() tells why.
  error_code open(const HttpRequest& request, const ServerAddress& address);
  // No error when the guest's console ended or the user left.
  error_code run();

  [[nodiscard]] beast::websocket::response_type& response() { return response_; }

 private:
  // As the server: a console is not worth a compressor.
  static constexpr bool kCompressed = false;

  void finish(error_code error);
  void read_guest();
  void leave_when_quiet();
  void read_user();

  // The socket stands on it: it must be the last to go.
  std::unique_ptr<HttpsConnection> connection_;
  beast::websocket::stream<TlsStream&, kCompressed> socket_;
  int input_flags_;
  asio::posix::stream_descriptor input_;
  asio::steady_timer quiet_;
  bool input_ended_ = false;
  ConsoleEnds ends_;
  beast::websocket::response_type response_;
  beast::flat_buffer from_guest_;
  std::array<char, 1024> from_user_{};
  error_code error_;
};

}  // namespace gantry::app
