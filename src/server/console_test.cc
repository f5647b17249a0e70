// The serial console over a WebSocket, with a client by hand (RFC 6455).
#include <gtest/gtest.h>

#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

struct Frame {
  int opcode = -1;
  std::string payload;
};

class Socket {
 public:
  explicit Socket(const TestServer& server, const std::string& headers, const std::string& vm = "web")
      : client_(server.started.port) {
    client_.send("GET /api/v1/vms/" + vm +
                 "/console HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
                 headers + "\r\n");
    reply = client_.receive();
  }
  void send(int opcode, const std::string& payload) {
    std::string frame(1, static_cast<char>(0x80 | opcode));
    frame += static_cast<char>(0x80 | payload.size());
    // A mask of zeros leaves the payload as it is.
    client_.send(frame + std::string(4, '\0') + payload);
  }
  Frame receive() {
    const std::string head = client_.read_exactly(2);
    if (head.empty()) return {};
    std::size_t size = static_cast<unsigned char>(head[1]) & 0x7FU;
    if (size == 126) {
      const std::string more = client_.read_exactly(2);
      size = static_cast<std::size_t>(static_cast<unsigned char>(more[0])) << 8U | static_cast<unsigned char>(more[1]);
    }
    return {head[0] & 0x0F, client_.read_exactly(size)};
  }
  // Output until `text` has come.
  std::string read_until(const std::string& text) {
    std::string all;
    while (all.find(text) == std::string::npos) {
      const Frame frame = receive();
      if (frame.opcode != 2) return all;
      all += frame.payload;
    }
    return all;
  }
  bool wait_for_close() { return client_.wait_for_close(); }

  Reply reply;

 private:
  Client client_;
};

std::string bearer() { return std::string("Authorization: Bearer ") + kLocalToken + "\r\n"; }

TEST(Console, CarriesBytesBothWays) {
  TestServer server;
  Socket socket(server, bearer());
  ASSERT_EQ(socket.reply.status, 101) << socket.reply.body;
  EXPECT_EQ(socket.reply.headers.at("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  // The name was resolved to the id.
  EXPECT_EQ(socket.read_until("\n"), "console of thing-1\n");
  socket.send(2, std::string("a\0b", 3));
  EXPECT_EQ(socket.read_until("b"), std::string("echo:a\0b", 8));
  server.console.print(std::string(100'000, 'x') + "!");
  EXPECT_EQ(socket.read_until("!").size(), 100'001U);
  server.console.end();
  EXPECT_EQ(socket.receive().opcode, 8);
}

TEST(Console, TakesTheTokenAsSubprotocol) {
  TestServer server;
  const std::string token = std::string("gantry.bearer.") + kLocalToken;
  Socket alone(server, "Sec-WebSocket-Protocol: " + token + "\r\n");
  EXPECT_EQ(alone.reply.status, 101);
  EXPECT_EQ(alone.reply.headers.at("sec-websocket-protocol"), token);
  Socket beside(server, "Sec-WebSocket-Protocol: " + token + ", gantry.console\r\n");
  EXPECT_EQ(beside.reply.headers.at("sec-websocket-protocol"), "gantry.console");
  EXPECT_EQ(Socket(server, "Sec-WebSocket-Protocol: gantry.bearer.wrong\r\n").reply.status, 401);
  EXPECT_EQ(Socket(server, "").reply.status, 401);
}

TEST(Console, OfAGuestOnAnotherHostIsRefusedByThatHostsName) {
  TestServer server([](ApiServerOptions& options) { options.own_host_id = "host-a"; });
  server.manager.override_answer([](const FakeManager::Call& call, const port::Manager::Answer& done) {
    if (call.rpc == "GetHost") {
      auto host = std::make_unique<v1::Host>();
      host->mutable_meta()->set_name("beta");
      done(std::move(host));
    } else {
      auto vm = std::make_unique<v1::Vm>();
      vm->mutable_meta()->set_id("vm-there");
      vm->mutable_placement()->set_host_id("host-b");
      done(std::move(vm));
    }
    return true;
  });
  const Socket socket(server, bearer());
  EXPECT_EQ(socket.reply.status, 422);
  EXPECT_NE(socket.reply.body.find("console_elsewhere"), std::string::npos) << socket.reply.body;
  EXPECT_NE(socket.reply.body.find("on host beta"), std::string::npos) << socket.reply.body;
}

TEST(Console, ErrorsComeAsUsual) {
  TestServer server;
  EXPECT_EQ(server.ask("GET", "/api/v1/vms/web/console").status, 400);
  server.manager.override_answer([](const FakeManager::Call&, const port::Manager::Answer& done) {
    auto vm = std::make_unique<v1::Vm>();
    vm->mutable_meta()->set_id("vm-off");
    done(std::unique_ptr<google::protobuf::Message>(std::move(vm)));
    return true;
  });
  const Socket off(server, bearer());
  EXPECT_EQ(off.reply.status, 409);
  EXPECT_NE(off.reply.body.find("does not run"), std::string::npos);
  server.manager.override_answer([](const FakeManager::Call&, const port::Manager::Answer& done) {
    done(fail(ErrorCode::not_found, "there is no VM \"web\"", "no such name", "list them"));
    return true;
  });
  EXPECT_EQ(Socket(server, bearer()).reply.status, 404);
}

TEST(Console, AClientThatDoesNotReadIsCutOff) {
  TestServer server([](ApiServerOptions& options) { options.client_buffer_bytes_max = 200'000; });
  Socket socket(server, bearer());
  ASSERT_EQ(socket.read_until("\n"), "console of thing-1\n");
  for (int i = 0; i < 1000; ++i) server.console.print(std::string(32768, 'x'));
  EXPECT_TRUE(socket.wait_for_close());
}

TEST(Console, EndsWithTheServer) {
  TestServer server;
  Socket socket(server, bearer());
  ASSERT_EQ(socket.read_until("\n"), "console of thing-1\n");
  server.server->stop();
  EXPECT_EQ(socket.receive().opcode, 8);
}

}  // namespace
}  // namespace gantry::server::testing
