#include "qemu/event_io.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/event_loop.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

using boost::system::error_code;

class AsioStream final : public SocketStream, public std::enable_shared_from_this<AsioStream> {
 public:
  AsioStream(boost::asio::io_context& context, UniqueFd connected, Handlers handlers)
      : handlers_(std::move(handlers)), socket_(context, boost::asio::local::stream_protocol(), connected.release()) {}

  // Reading holds no reference: the last owner's letting go ends it.
  void read_more() {
    socket_.async_read_some(boost::asio::buffer(buffer_),
                            [self = weak_from_this()](const error_code& error, std::size_t count) {
                              if (const auto stream = self.lock()) stream->take_read(error, count);
                            });
  }

  void send(std::string_view bytes) override {
    if (closed_) return;
    queued_.append(bytes);
    if (sending_.empty()) send_more();
  }

  [[nodiscard]] std::size_t unsent() const override { return sending_.size() + queued_.size(); }

  void close() override {
    closed_ = true;
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  void take_read(const error_code& error, std::size_t count) {
    if (closed_) return;
    if (error) {
      close();
      if (handlers_.on_closed) handlers_.on_closed();
      return;
    }
    if (handlers_.on_bytes) handlers_.on_bytes(std::string_view(buffer_.data(), count));
    if (!closed_) read_more();
  }

  void send_more() {
    sending_ = std::exchange(queued_, {});
    boost::asio::async_write(socket_, boost::asio::buffer(sending_),
                             [self = shared_from_this()](const error_code& error, std::size_t) {
                               self->sending_.clear();
                               // A broken connection is told by the read.
                               if (!error && !self->closed_ && !self->queued_.empty()) self->send_more();
                             });
  }

  Handlers handlers_;
  boost::asio::local::stream_protocol::socket socket_;
  std::array<char, 4096> buffer_{};
  std::string sending_;
  std::string queued_;
  bool closed_ = false;
};

class AsioWatch final : public ReadableWatch {
 public:
  AsioWatch(boost::asio::io_context& context, UniqueFd descriptor, std::function<void()> on_readable)
      : descriptor_(context, descriptor.release()) {
    descriptor_.async_wait(
        boost::asio::posix::stream_descriptor::wait_read,
        [alive = std::weak_ptr<bool>(alive_), call = std::move(on_readable)](const error_code& error) {
          if (!error && !alive.expired()) call();
        });
  }

 private:
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  boost::asio::posix::stream_descriptor descriptor_;
};

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid_argument, "cannot make a socket at " + path, "the path is longer than 107 bytes",
                "use a state directory with a shorter path");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<UniqueFd> new_socket(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail(runtime::errno_error("cannot make a socket for " + path, errno));
  return fd;
}

// The form that the socket calls want.
const sockaddr* generic(const sockaddr_un& address) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

}  // namespace

std::shared_ptr<SocketStream> open_stream(runtime::EventLoop& loop, UniqueFd connected,
                                          SocketStream::Handlers handlers) {
  auto stream = std::make_shared<AsioStream>(loop.context(), std::move(connected), std::move(handlers));
  stream->read_more();
  return stream;
}

std::unique_ptr<ReadableWatch> watch_readable(runtime::EventLoop& loop, UniqueFd descriptor,
                                              std::function<void()> on_readable) {
  return std::make_unique<AsioWatch>(loop.context(), std::move(descriptor), std::move(on_readable));
}

Result<UniqueFd> listen_unix(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  auto fd = new_socket(path);
  if (!fd) return fd;
  ::unlink(path.c_str());
  if (::bind(fd->get(), generic(*address), sizeof *address) != 0 || ::chmod(path.c_str(), 0600) != 0 ||
      ::listen(fd->get(), 8) != 0) {
    return fail(runtime::errno_error("cannot make the socket " + path, errno));
  }
  return fd;
}

Result<UniqueFd> connect_unix(const std::string& path) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  auto fd = new_socket(path);
  if (!fd) return fd;
  if (::connect(fd->get(), generic(*address), sizeof *address) != 0) {
    return fail(runtime::errno_error("cannot connect to " + path, errno));
  }
  return fd;
}

}  // namespace gantry::qemu
