// Server-sent events.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

using nlohmann::json;

v1::Vm vm_named(const std::string& name) {
  v1::Vm vm;
  vm.mutable_meta()->set_id(name);
  vm.mutable_meta()->set_name(name);
  return vm;
}

// A client of the events whose greeting has come.
struct Listener {
  explicit Listener(const TestServer& server, const std::string& query = {}, const std::string& header = {},
                    const std::string& token = kLocalToken)
      : client(server.started.port) {
    client.send("GET /api/v1/events" + query + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + "\r\n" +
                header + "\r\n");
    head = client.read_until("\r\n\r\n");
    greeting = client.read_until(": connected\n\n");
  }
  // The next event, heartbeats apart.
  std::string next() {
    while (true) {
      std::string event = client.read_until("\n\n");
      if (event.find(": heartbeat") == std::string::npos) return event;
    }
  }
  static json data(const std::string& event) {
    const std::size_t begin = event.find("data: ") + 6;
    return json::parse(event.substr(begin, event.find('\n', begin) - begin));
  }

  Client client;
  std::string head;
  std::string greeting;
};

TEST(Events, DoNotTellTheKeyOfAPool) {
  TestServer server;
  Listener listener(server);
  v1::Pool pool;
  pool.mutable_meta()->set_id("pool-1");
  pool.mutable_spec()->mutable_rbd()->set_pool("vms");
  pool.mutable_spec()->mutable_rbd()->set_key("geheim");
  server.store.put("/pool/pool-1", pool);
  const std::string event = listener.next();
  EXPECT_NE(event.find("vms"), std::string::npos) << event;
  EXPECT_EQ(event.find("geheim"), std::string::npos) << event;
}

TEST(Events, TellChangesOfPublicRecordsOnly) {
  TestServer server;
  Listener listener(server);
  EXPECT_NE(listener.head.find("text/event-stream"), std::string::npos);
  EXPECT_EQ(listener.greeting, "id: " + std::to_string(server.store.revision()) + "\n: connected\n\n");
  v1::User user;
  server.store.put("/user/eve", user);
  server.store.put("/name/vm/web", user);
  server.store.put("/session/abc", user);
  server.store.put("/apitoken/abc", user);
  server.store.put("/vm/web", vm_named("web"));
  const std::string event = listener.next();
  const std::string revision = std::to_string(server.store.revision());
  EXPECT_EQ(event.rfind("event: change\n", 0), 0U) << event;
  EXPECT_NE(event.find("\nid: " + revision + "\n"), std::string::npos) << event;
  const json data = Listener::data(event);
  EXPECT_EQ(data.at("kind"), "vm");
  EXPECT_EQ(data.at("id"), "web");
  EXPECT_EQ(data.at("vm").at("meta").at("revision"), revision);
  server.store.erase("/vm/web");
  EXPECT_EQ(Listener::data(listener.next()).at("deleted"), true);
}

TEST(Events, NeverTellWhatIsNotForUsers) {
  TestServer server;
  Listener listener(server);
  v1::Vm vm = vm_named("web");
  v1::MoveAddress& address = *vm.mutable_placement()->mutable_move()->mutable_target()->mutable_address();
  address.set_host("192.0.2.7");
  address.set_secret("cafe");
  server.store.put("/vm/web", vm);
  const json told = Listener::data(listener.next())["vm"]["placement"]["move"]["target"]["address"];
  EXPECT_EQ(told["host"], "192.0.2.7");
  EXPECT_EQ(told["secret"], "");
}

TEST(Events, OneRevisionHasOneIdAtItsEnd) {
  TestServer server;
  Listener listener(server);
  const v1::Vm vm = vm_named("a");
  v1::Task task;
  server.store.put_all({{"/task/t", &task}, {"/vm/a", &vm}});
  EXPECT_EQ(listener.next().find("\nid: "), std::string::npos);
  EXPECT_NE(listener.next().find("\nid: "), std::string::npos);
}

TEST(Events, ResumeAfterARevisionWithoutGapOrRepeat) {
  TestServer server;
  const port::Revision before = server.store.revision();
  for (int i = 0; i < 10; ++i) server.store.put("/vm/v" + std::to_string(i), vm_named("v" + std::to_string(i)));
  Listener by_header(server, "?from_revision=1", "Last-Event-ID: " + std::to_string(before) + "\r\n");
  Listener by_query(server, "?from_revision=" + std::to_string(before + 5));
  EXPECT_EQ(by_query.greeting, ": connected\n\n");
  for (int i = 10; i < 20; ++i) server.store.put("/vm/v" + std::to_string(i), vm_named("v" + std::to_string(i)));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Listener::data(by_header.next()).at("id"), "v" + std::to_string(i));
  for (int i = 5; i < 20; ++i) EXPECT_EQ(Listener::data(by_query.next()).at("id"), "v" + std::to_string(i));
}

TEST(Events, ClientsShareOneWatchThatEndsWithThem) {
  TestServer server;
  const auto settles_at = [&](std::size_t count) {
    // Each request is one turn of the server's loop.
    for (int i = 0; i < 2000 && server.store.watchers() != count; ++i) server.ask("GET", "/api/v1/version");
    return server.store.watchers() == count;
  };
  {
    Listener first(server);
    server.store.put("/vm/a", vm_named("a"));
    Listener second(server, "?from_revision=1");
    EXPECT_EQ(Listener::data(second.next()).at("id"), "a");
    Listener third(server);
    EXPECT_TRUE(settles_at(1));
  }
  EXPECT_TRUE(settles_at(0));
}

TEST(Events, FilterKinds) {
  TestServer server;
  Listener listener(server, "?kinds=task,image");
  server.store.put("/vm/a", vm_named("a"));
  server.store.put("/task/t", v1::Task());
  EXPECT_EQ(Listener::data(listener.next()).at("kind"), "task");
  EXPECT_EQ(server.ask("GET", "/api/v1/events?kinds=user").status, 400);
  EXPECT_EQ(server.ask("GET", "/api/v1/events?from_revision=x").status, 400);
  EXPECT_EQ(server.ask("GET", "/api/v1/events", {}, {"Last-Event-ID: x"}).status, 400);
  EXPECT_EQ(server.ask("GET", "/api/v1/events", {}, {}, "").status, 401);
}

TEST(Events, SayWhenHistoryIsGone) {
  TestServer server;
  for (int i = 0; i < 5; ++i) server.store.put("/vm/a", vm_named("a"));
  server.store.compact(server.store.revision() - 1, [](const auto&) {});
  const std::string revision = std::to_string(server.store.revision());
  Listener late(server, "?from_revision=1");
  const std::string event = late.next();
  EXPECT_EQ(event.rfind("event: resync\n", 0), 0U) << event;
  EXPECT_EQ(Listener::data(event).at("revision"), revision);
  server.store.put("/vm/b", vm_named("b"));
  EXPECT_EQ(Listener::data(late.next()).at("id"), "b");
  // A revision of another store's life.
  Listener future(server, "?from_revision=999999");
  EXPECT_EQ(future.next().rfind("event: resync\n", 0), 0U);
}

TEST(Events, BeatAndEndWithTheSession) {
  TestServer server([](ApiServerOptions& options) { options.heartbeat_ms = 20; });
  const std::string session = server.login(server.started.first_password);
  Listener listener(server, {}, {}, session);
  EXPECT_NE(listener.client.read_until(": heartbeat\n\n").find("id: "), std::string::npos);
  server.ask("DELETE", "/api/v1/sessions/current", {}, {}, session);
  EXPECT_TRUE(listener.client.wait_for_close());
}

TEST(Events, ACompletelySilentClientIsCutOff) {
  TestServer server([](ApiServerOptions& options) { options.client_buffer_bytes_max = 200'000; });
  Listener silent(server);
  Listener reading(server);
  v1::Vm vm = vm_named("big");
  vm.mutable_spec()->mutable_cloud_init()->set_user_data(std::string(32768, 'x'));
  // Far more than socket buffers hold.
  for (int i = 0; i < 1000; ++i) {
    server.store.put("/vm/big", vm);
    ASSERT_EQ(Listener::data(reading.next()).at("id"), "big") << i;
  }
  EXPECT_TRUE(silent.client.wait_for_close());
  EXPECT_EQ(server.ask("GET", "/api/v1/version").status, 200);
}

TEST(Events, AreLimitedInNumberAndEndWithTheServer) {
  TestServer server([](ApiServerOptions& options) { options.event_clients_max = 1; });
  Listener first(server);
  EXPECT_EQ(server.ask("GET", "/api/v1/events").status, 503);
  server.server->stop();
  EXPECT_TRUE(first.client.wait_for_close());
}

}  // namespace
}  // namespace gantry::server::testing
