// Network namespaces for tests: nothing here touches the machine's own network.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "runtime/process.h"

namespace gantry::network {

inline Result<runtime::ProcessOutput> run(std::vector<std::string> argv, std::string input = {}) {
  return runtime::run_process({.argv = std::move(argv), .input = std::move(input), .timeout_ms = 30'000});
}

// Its output; the test fails when the program does.
inline std::string must_run(std::vector<std::string> argv, std::string input = {}) {
  const auto result = run(std::move(argv), std::move(input));
  EXPECT_TRUE(result) << result.error().to_text();
  return result ? result->out : std::string();
}

// Moves the calling thread, and what it starts from now on, into a new namespace.
inline void enter_new_namespace() {
  if (::unshare(CLONE_NEWNET) != 0) throw std::runtime_error("this test needs root");
  must_run({"ip", "link", "set", "lo", "up"});
}

// Goes when this does.
class Namespace {
 public:
  Namespace() {
    std::thread([this] {
      enter_new_namespace();
      fd_.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    }).join();
  }
  // Runs `work` on a thread inside.
  void in(const std::function<void()>& work) const {
    std::thread([this, &work] {
      ASSERT_EQ(::setns(fd_.get(), CLONE_NEWNET), 0);
      work();
    }).join();
  }
  std::string must_run(std::vector<std::string> argv) const {
    std::string out;
    in([&] { out = network::must_run(argv); });
    return out;
  }
  [[nodiscard]] bool runs(const std::vector<std::string>& argv) const {
    bool good = false;
    in([&] { good = run(argv).has_value(); });
    return good;
  }
  [[nodiscard]] bool pings(const std::string& address) const {
    return runs({"busybox", "ping", "-c", "1", "-W", "2", address});
  }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

// Two ends of a cable: `here` in the calling thread's namespace.
inline void connect_cable(const std::string& here, const std::string& there, const Namespace& other) {
  must_run({"ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns",
            "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(other.fd())});
}

// As QEMU opens it.
inline UniqueFd open_tap_device(const std::string& name) {
  UniqueFd tap(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  ifreq request{};
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  EXPECT_EQ(::ioctl(tap.get(), TUNSETIFF, &request), 0) << name << ": " << std::strerror(errno);
  return tap;
}

// A guest's system: a namespace with eth0, joined to the host's tap by copying frames, as QEMU does.
class Guest {
 public:
  Guest(const std::string& tap, const std::string& mac)
      : host_side_(open_tap_device(tap)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    space.in([&] {
      guest_side_ = open_tap_device("eth0");
      network::must_run({"ip", "link", "set", "eth0", "address", mac, "up"});
    });
    pump_ = std::thread([this] { pump(); });
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() {
    ::eventfd_write(stop_.get(), 1);
    pump_.join();
  }
  void set_address(const std::string& address, const std::string& gateway) const {
    must_succeed({"ip", "address", "add", address + "/24", "dev", "eth0"});
    must_succeed({"ip", "route", "add", "default", "via", gateway});
  }
  void must_succeed(const std::vector<std::string>& argv) const { EXPECT_TRUE(space.runs(argv)) << argv[1]; }

  Namespace space;

 private:
  static void copy(int from, int to) {
    std::array<char, 70000> frame{};
    const ssize_t size = ::read(from, frame.data(), frame.size());
    if (size <= 0) return;
    const ssize_t written = ::write(to, frame.data(), static_cast<std::size_t>(size));
    static_cast<void>(written);
  }
  void pump() {
    while (true) {
      std::array<pollfd, 3> fds{pollfd{host_side_.get(), POLLIN, 0}, pollfd{guest_side_.get(), POLLIN, 0},
                                pollfd{stop_.get(), POLLIN, 0}};
      if (::poll(fds.data(), fds.size(), -1) < 0) continue;
      if (fds[2].revents != 0) return;
      if (fds[0].revents != 0) copy(host_side_.get(), guest_side_.get());
      if (fds[1].revents != 0) copy(guest_side_.get(), host_side_.get());
    }
  }

  UniqueFd host_side_;
  UniqueFd guest_side_;
  UniqueFd stop_;
  std::thread pump_;
};

inline sockaddr_in socket_address(const std::string& address, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &result.sin_addr);
  return result;
}

// A TCP server in whichever namespace it was made.
class Listener {
 public:
  // Port 0: any.
  explicit Listener(const std::string& address, std::uint16_t wanted = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    auto at = socket_address(address, wanted);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0) << std::strerror(errno);
    EXPECT_EQ(::listen(socket_.get(), 5), 0);
    socklen_t size = sizeof at;
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&at), &size);
    port = ntohs(at.sin_port);
  }
  // Who connected, or does within the time; empty: nobody.
  [[nodiscard]] std::string accept(int timeout_ms = 5000) const {
    pollfd ready{socket_.get(), POLLIN, 0};
    ::poll(&ready, 1, timeout_ms);
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const UniqueFd connection(::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC));
    if (!connection.valid()) return {};
    std::array<char, INET_ADDRSTRLEN> text{};
    return ::inet_ntop(AF_INET, &from.sin_addr, text.data(), text.size());
  }
  std::uint16_t port = 0;

 private:
  UniqueFd socket_;
};

// Whether a TCP connection from the calling thread's namespace comes to be within `seconds`.
inline bool connects(const std::string& address, std::uint16_t port, int seconds = 3) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{seconds, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const auto to = socket_address(address, port);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
}

}  // namespace gantry::network
