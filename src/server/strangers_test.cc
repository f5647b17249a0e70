// What those who are not signed in can make the server do: little, and nobody else waits for it.
#include <gtest/gtest.h>

#include <future>

#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

const std::string kAuth = std::string("Authorization: Bearer ") + kLocalToken + "\r\n";

std::string head(const std::string& request, const std::string& more) {
  return request + " HTTP/1.1\r\nHost: a\r\n" + more + "\r\n";
}

// Nothing of the bodies is ever sent.
TEST(Strangers, AreRefusedBeforeTheirBodyIsRead) {
  TestServer server;
  const auto answer_to = [&server](const std::string& request) {
    Client client(server.started.port);
    client.send(request);
    return client.receive("POST").status;
  };
  EXPECT_EQ(answer_to(head("POST /api/v1/vms", "Content-Length: 500000\r\n")), 401);
  EXPECT_EQ(answer_to(head("POST /api/v1/vms", "Authorization: Bearer gs_x\r\nContent-Length: 500000\r\n")), 401);
  EXPECT_EQ(answer_to(head("POST /api/v1/vms", "Transfer-Encoding: chunked\r\n")), 401);
  EXPECT_EQ(answer_to(head("POST /api/v1/nothing", "Content-Length: 500000\r\n")), 404);
  EXPECT_EQ(answer_to(head("POST /api/v1/sessions", "Content-Length: 20000\r\n")), 413);
  EXPECT_EQ(answer_to(head("POST /api/v1/vms", kAuth + "Content-Length: 2000000\r\n")), 413);
  EXPECT_TRUE(server.manager.calls().empty());
}

TEST(Strangers, AnUnreadBodyIsNoRequest) {
  TestServer server([](ApiServerOptions& options) { options.answer_timeout_ms = 50; });
  const std::string hidden = head("GET /api/v1/version", "");
  server.store.set_silent(true);
  for (const char* request : {"PUT /api/v1/images/a/content", "POST /api/v1/vms"}) {
    Client client(server.started.port);
    client.send(head(request, "Authorization: Bearer gs_x\r\nContent-Length: 500\r\n"));
    const Reply reply = client.receive("PUT");
    EXPECT_EQ(reply.status, 504) << reply.body;
    EXPECT_EQ(reply.headers.at("connection"), "close");
    client.send(hidden);
    EXPECT_EQ(client.receive().status, 0);
  }
}

TEST(Strangers, ANewcomerTakesThePlaceOfAnIdleConnection) {
  TestServer server([](ApiServerOptions& options) { options.connections_max = 2; });
  Client first(server.started.port);
  Client second(server.started.port);
  EXPECT_TRUE(first.connected() && second.connected());
  const Client third(server.started.port);
  EXPECT_TRUE(third.connected());
  EXPECT_TRUE(first.wait_for_close());
  EXPECT_EQ(second.ask("GET", "/api/v1/version").status, 200);
}

TEST(Strangers, WhoHoldsManyConnectionsLosesThemFirst) {
  TestServer server([](ApiServerOptions& options) { options.connections_max = 3; });
  Client neighbour(server.started.port, true, 0, "127.0.0.2");
  Client greedy(server.started.port, true, 0, "127.0.0.3");
  const Client greedy_too(server.started.port, true, 0, "127.0.0.3");
  const Client newcomer(server.started.port);
  EXPECT_TRUE(newcomer.connected());
  EXPECT_TRUE(greedy.wait_for_close());
  EXPECT_EQ(neighbour.ask("GET", "/api/v1/version").status, 200);
}

TEST(Strangers, WhoIsSlowToLogInMakesRoom) {
  TestServer server([](ApiServerOptions& options) { options.connections_max = 1; });
  Client slow(server.started.port);
  slow.send(head("POST /api/v1/sessions", "Content-Length: 50\r\nExpect: 100-continue\r\n"));
  ASSERT_EQ(slow.receive("POST", true).status, 100);
  slow.send("{");
  EXPECT_EQ(server.ask("GET", "/api/v1/version").status, 200);
  EXPECT_TRUE(slow.wait_for_close());
}

TEST(Strangers, RequestsUnderWayAreNotEndedForThem) {
  TestServer server([](ApiServerOptions& options) { options.connections_max = 1; });
  std::promise<port::Manager::Answer> held;
  server.manager.override_answer([&held](const FakeManager::Call&, const port::Manager::Answer& done) {
    held.set_value(done);
    return true;
  });
  Client busy(server.started.port);
  busy.send(head("GET /api/v1/vms/a", kAuth));
  const port::Manager::Answer answer = held.get_future().get();
  EXPECT_FALSE(Client(server.started.port).connected());
  answer(FakeManager::sample("GetVm", false));
  EXPECT_EQ(busy.receive().status, 200);
}

}  // namespace
}  // namespace gantry::server::testing
