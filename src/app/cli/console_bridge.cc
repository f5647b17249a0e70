#include "app/cli/console_bridge.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <cerrno>
#include <chrono>
#include <utility>

namespace gantry::app {
namespace {

// A terminal's input and output are often one file: reading without blocking makes writing so, too.
bool write_all(int fd, const char* bytes, std::size_t count) {
  while (count > 0) {
    const ssize_t written = ::write(fd, bytes, count);
    if (written < 0 && (errno == EAGAIN || errno == EINTR)) {
      pollfd ready{fd, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (written < 0) return false;
    bytes += written;
    count -= static_cast<std::size_t>(written);
  }
  return true;
}

}  // namespace

ConsoleBridge::ConsoleBridge(std::unique_ptr<HttpsConnection> connection, const ConsoleEnds& ends)
    : connection_(std::move(connection)),
      socket_(connection_->stream()),
      input_flags_(::fcntl(ends.input_fd, F_GETFL)),
      input_(connection_->io(), ::dup(ends.input_fd)),
      quiet_(connection_->io()),
      ends_(ends) {}

// The shell goes on with the same terminal and expects it to block.
ConsoleBridge::~ConsoleBridge() { ::fcntl(ends_.input_fd, F_SETFL, input_flags_); }

error_code ConsoleBridge::open(const HttpRequest& request, const ServerAddress& address) {
  beast::get_lowest_layer(socket_).expires_never();
  socket_.set_option(beast::websocket::stream_base::timeout::suggested(beast::role_type::client));
  socket_.set_option(beast::websocket::stream_base::decorator([&](beast::websocket::request_type& upgrade) {
    for (const auto& [name, value] : request.headers) upgrade.set(name, value);
  }));
  socket_.binary(true);
  error_code error;
  // The time limit of a handshake that was declined would run on.
  socket_.async_handshake(response_, address.host + ":" + address.port, request.target, [&](error_code result) {
    error = result;
    connection_->io().stop();
  });
  connection_->run();
  return error;
}

error_code ConsoleBridge::run() {
  read_guest();
  read_user();
  connection_->run();
  return error_;
}

void ConsoleBridge::finish(error_code error) {
  if (!error_ && error != beast::websocket::error::closed && error != asio::error::operation_aborted) error_ = error;
  connection_->io().stop();
}

void ConsoleBridge::read_guest() {
  socket_.async_read(from_guest_, [this](error_code error, std::size_t) {
    if (error) return finish(error);
    const auto said = from_guest_.data();
    if (!write_all(ends_.output_fd, static_cast<const char*>(said.data()), said.size())) return finish({});
    from_guest_.clear();
    if (input_ended_) leave_when_quiet();
    read_guest();
  });
}

// After a script's last line, what the guest answers is still wanted.
void ConsoleBridge::leave_when_quiet() {
  input_ended_ = true;
  quiet_.expires_after(std::chrono::seconds(2));
  quiet_.async_wait([this](error_code error) {
    if (!error) finish({});
  });
}

void ConsoleBridge::read_user() {
  input_.async_read_some(asio::buffer(from_user_), [this](error_code error, std::size_t count) {
    if (error == asio::error::eof) return leave_when_quiet();
    if (error) return finish(error);
    if (count == 1 && from_user_[0] == ends_.escape) return finish({});
    socket_.async_write(asio::buffer(from_user_.data(), count), [this](error_code write_error, std::size_t) {
      if (write_error) return finish(write_error);
      read_user();
    });
  });
}

}  // namespace gantry::app
