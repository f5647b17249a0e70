#include "qemu/limit_silence.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace gantry::qemu {
namespace {

unsigned option(int socket, int level, int name) {
  unsigned value = 0;
  socklen_t size = sizeof value;
  EXPECT_EQ(::getsockopt(socket, level, name, &value, &size), 0);
  return value;
}

TEST(LimitSilence, ConcernsTheConnectionsOfThatPortAlone) {
  const UniqueFd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listening.get(), any, size), 0);
  ASSERT_EQ(::listen(listening.get(), 1), 0);
  ASSERT_EQ(::getsockname(listening.get(), any, &size), 0);
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), any, size), 0);
  const UniqueFd server(::accept(listening.get(), nullptr, nullptr));
  ASSERT_TRUE(server.valid());
  const UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  const std::uint32_t port = ntohs(address.sin_port);
  ASSERT_TRUE(limit_silence(self.get(), ::getpid(), port == 65'535 ? 1 : port + 1, 7'000));
  EXPECT_EQ(option(client.get(), IPPROTO_TCP, TCP_USER_TIMEOUT), 0U);
  const auto limited = limit_silence(self.get(), ::getpid(), port, 7'000);
  ASSERT_TRUE(limited) << limited.error().to_text();
  for (const UniqueFd* end : {&client, &server}) {
    EXPECT_EQ(option(end->get(), IPPROTO_TCP, TCP_USER_TIMEOUT), 7'000U);
    EXPECT_EQ(option(end->get(), SOL_SOCKET, SO_KEEPALIVE), 1U);
  }
}

}  // namespace
}  // namespace gantry::qemu
