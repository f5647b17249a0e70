// Who may do what: every route for each role, and how a user could come to more than was given.
#include "server/roles.h"

#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "gantry/v1/access.pb.h"
#include "model/keys.h"
#include "server/accounts.h"
#include "server/routes.h"
#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

using nlohmann::json;

class People {
 public:
  explicit People(const std::function<void(ApiServerOptions&)>& adjust = {}) : server(adjust) {}

  // A user with that role, signed in; the session's token.
  std::string add(const std::string& name, const std::string& role, const json& groups = json::array()) {
    const json wish = {{"name", name}, {"password", "password of " + name}, {"role", role}, {"groups", groups}};
    const Reply made = server.ask("POST", "/api/v1/users", wish.dump());
    EXPECT_EQ(made.status, 200) << made.body;
    return sign_in(name);
  }
  std::string sign_in(const std::string& name) {
    const json wish = {{"user", name}, {"password", "password of " + name}};
    const Reply opened = server.ask("POST", "/api/v1/sessions", wish.dump(), {}, "");
    return opened.status == 200 ? json::parse(opened.body).at("token").get<std::string>() : "";
  }
  int status(const std::string& method, const std::string& target, const std::string& body, const std::string& token) {
    return server.ask(method, target, body, {}, token).status;
  }
  std::string code(const std::string& method, const std::string& target, const std::string& body,
                   const std::string& token) {
    const Reply reply = server.ask(method, target, body, {}, token);
    return reply.status < 400 ? std::to_string(reply.status) : json::parse(reply.body).at("code").get<std::string>();
  }
  std::string token_of(const std::string& session, const json& wish) {
    const Reply made = server.ask("POST", "/api/v1/tokens", wish.dump(), {}, session);
    return made.status == 200 ? json::parse(made.body).at("token").get<std::string>() : "";
  }

  TestServer server;
};

std::string path_of(const RouteEntry& entry) {
  std::string path = entry.route.path();
  if (const auto at = path.find("{id}"); at != std::string::npos) path.replace(at, 4, "web");
  return path;
}

TEST(Roles, EveryRouteStatesExactlyOnceWhoMay) {
  const RouteTable routes;
  for (const RouteEntry& entry : routes.entries()) {
    const v1::Route& route = entry.route;
    EXPECT_EQ((route.anonymous() ? 1 : 0) + (route.own() ? 1 : 0) + (route.role() != v1::NO_ROLE ? 1 : 0), 1)
        << entry.rpc;
    // Nothing is changed by who may only look.
    const bool changes = route.method() != "GET" || route.kind() == v1::Route::SOCKET;
    if (changes && !route.own() && !route.anonymous()) {
      EXPECT_GT(route.role(), v1::VIEWER) << entry.rpc;
    }
  }
}

TEST(Roles, ARouteThatStatesNobodyIsForNobody) {
  Caller root{.user = kLocalRoot};
  root.is_local = true;
  root.role = v1::ADMINISTRATOR;
  EXPECT_FALSE(check_permitted(v1::Route(), root));
}

TEST(Roles, EveryRouteIsRefusedToWhoMayNotAndToThemAlone) {
  People people;
  const std::map<v1::Role, std::string> callers = {{v1::NO_ROLE, people.add("nora", "NO_ROLE")},
                                                   {v1::VIEWER, people.add("vera", "VIEWER")},
                                                   {v1::OPERATOR, people.add("olga", "OPERATOR")}};
  const RouteTable routes;
  const std::size_t before = people.server.manager.calls().size();
  for (const RouteEntry& entry : routes.entries()) {
    if (entry.route.anonymous() || entry.route.own()) continue;
    for (const auto& [role, token] : callers) {
      if (role >= entry.route.role()) continue;
      const Reply reply = people.server.ask(entry.route.method(), path_of(entry), {}, {}, token);
      EXPECT_EQ(reply.status, 403) << entry.rpc;
      const json body = json::parse(reply.body);
      EXPECT_EQ(body.at("code"), "role_needed") << entry.rpc;
      EXPECT_NE(body.at("cause").get<std::string>().find(role_word(entry.route.role())), std::string::npos)
          << reply.body;
      // Nor by what goes another way than the rest: a dry run, a HEAD, a body that is not looked at.
      EXPECT_EQ(people.status(entry.route.method(), path_of(entry) + "?dry_run=true", "{}", token), 403) << entry.rpc;
      if (entry.route.method() == "GET") {
        EXPECT_GE(people.status("HEAD", path_of(entry), {}, token), 400) << entry.rpc;
      }
    }
  }
  EXPECT_EQ(people.server.manager.calls().size(), before);
  for (const RouteEntry& entry : routes.entries()) {
    const bool plain = entry.route.kind() == v1::Route::READ || entry.route.kind() == v1::Route::CHANGE;
    if (!plain || entry.route.anonymous()) continue;
    for (const auto& [role, token] : callers) {
      if (role < entry.route.role()) continue;
      EXPECT_LT(people.status(entry.route.method(), path_of(entry), {}, token), 300) << entry.rpc;
    }
  }
}

TEST(Roles, GroupsGiveTheirRoleAndTakeItBack) {
  People people;
  ASSERT_EQ(people.status("POST", "/api/v1/groups", R"({"name":"night","role":"VIEWER"})", kLocalToken), 200);
  const std::string session = people.add("gina", "NO_ROLE", {"night"});
  EXPECT_EQ(people.status("GET", "/api/v1/vms", {}, session), 200);
  EXPECT_EQ(people.status("POST", "/api/v1/vms/web/start", {}, session), 403);
  ASSERT_EQ(people.status("PATCH", "/api/v1/groups/night", R"({"role":"OPERATOR"})", kLocalToken), 200);
  EXPECT_EQ(people.status("POST", "/api/v1/vms/web/start", {}, session), 202);
  ASSERT_EQ(people.status("DELETE", "/api/v1/groups/night", {}, kLocalToken), 204);
  EXPECT_EQ(people.status("GET", "/api/v1/vms", {}, session), 403);
  // Another group of that name gives nothing to who was in the one before.
  ASSERT_EQ(people.status("POST", "/api/v1/groups", R"({"name":"night","role":"ADMINISTRATOR"})", kLocalToken), 200);
  EXPECT_EQ(people.status("GET", "/api/v1/vms", {}, session), 403);
  const Reply shown = people.server.ask("GET", "/api/v1/users/gina");
  EXPECT_TRUE(json::parse(shown.body).at("groups").empty()) << shown.body;
}

TEST(Roles, WhatIsTakenFromAUserIsGoneFromSessionsAndTokensAtOnce) {
  People people;
  const std::string session = people.add("adam", "ADMINISTRATOR");
  const std::string token = people.token_of(session, {{"name", "ci"}});
  const auto both = [&](const std::string& method, const std::string& target, int wanted) {
    EXPECT_EQ(people.status(method, target, {}, session), wanted) << method << target;
    EXPECT_EQ(people.status(method, target, {}, token), wanted) << method << target;
  };
  both("GET", "/api/v1/users", 200);
  ASSERT_EQ(people.status("PATCH", "/api/v1/users/adam", R"({"role":"VIEWER"})", kLocalToken), 200);
  both("GET", "/api/v1/users", 403);
  both("GET", "/api/v1/vms", 200);
  ASSERT_EQ(people.status("PATCH", "/api/v1/users/adam", R"({"disabled":true})", kLocalToken), 200);
  both("GET", "/api/v1/vms", 401);
  EXPECT_EQ(people.code("POST", "/api/v1/sessions", R"({"user":"adam","password":"password of adam"})", ""),
            "user_disabled");
  EXPECT_EQ(people.code("POST", "/api/v1/sessions", R"({"user":"adam","password":"wrong"})", ""), "wrong_login");
  ASSERT_EQ(people.status("PATCH", "/api/v1/users/adam", R"({"disabled":false})", kLocalToken), 200);
  // The sessions of before do not come to life again.
  EXPECT_EQ(people.status("GET", "/api/v1/vms", {}, session), 401);
  EXPECT_EQ(people.status("GET", "/api/v1/vms", {}, token), 200);
}

TEST(Roles, AnotherUserOfTheSameNameIsAnother) {
  People people;
  const std::string session = people.add("bob", "ADMINISTRATOR");
  const std::string token = people.token_of(session, {{"name", "ci"}});
  const auto entries = people.server.store.entries();
  ASSERT_EQ(people.status("DELETE", "/api/v1/users/bob", {}, kLocalToken), 204);
  for (const auto& [key, entry] : people.server.store.entries()) {
    EXPECT_EQ(entry.value.find("bob"), std::string::npos) << key;
    EXPECT_EQ(key.find("bob"), std::string::npos);
  }
  const std::string fresh = people.add("bob", "ADMINISTRATOR");
  // As if the server had been killed before it swept them, or a login had come in between.
  for (const auto& [key, entry] : entries) {
    v1::Session kept;
    if (key.rfind("/session/", 0) == 0 && kept.ParseFromString(entry.value)) people.server.store.put(key, kept);
    v1::ApiToken kept_token;
    if (key.rfind("/apitoken/", 0) == 0 && kept_token.ParseFromString(entry.value)) {
      people.server.store.put(key, kept_token);
    }
  }
  EXPECT_EQ(people.status("GET", "/api/v1/vms", {}, session), 401);
  EXPECT_EQ(people.status("GET", "/api/v1/vms", {}, token), 401);
  EXPECT_EQ(people.status("GET", "/api/v1/vms", {}, fresh), 200);
}

TEST(Roles, RecordsOfBeforeThereWereRolesServeAsTheyDid) {
  People people;
  const std::string key = model::record_key(model::kUser, "admin");
  v1::User user;
  ASSERT_TRUE(user.ParseFromString(people.server.store.entries().at(key).value));
  user.clear_role();
  people.server.store.put(key, user);
  const std::string session = people.server.login(people.server.started.first_password);
  for (const auto& [at, entry] : people.server.store.entries()) {
    v1::Session old;
    if (at.rfind("/session/", 0) != 0 || !old.ParseFromString(entry.value)) continue;
    old.clear_user_id();
    old.clear_ends_at();
    people.server.store.put(at, old);
  }
  EXPECT_EQ(people.status("GET", "/api/v1/users", {}, session), 200);
  const json shown = json::parse(people.server.ask("GET", "/api/v1/users/admin").body);
  EXPECT_EQ(shown.at("role"), "ADMINISTRATOR");
  EXPECT_EQ(shown.at("passwordHash"), "");
}

TEST(Roles, NobodyChangesTheirOwnAccount) {
  People people;
  const std::string session = people.add("adam", "ADMINISTRATOR");
  for (const char* change : {R"({"role":"VIEWER"})", R"({"disabled":true})", R"({"groups":[]})"}) {
    EXPECT_EQ(people.code("PATCH", "/api/v1/users/adam", change, session), "own_account");
  }
  EXPECT_EQ(people.code("DELETE", "/api/v1/users/adam", {}, session), "own_account");
  const json shown = json::parse(people.server.ask("GET", "/api/v1/users/adam").body);
  EXPECT_EQ(people.code("DELETE", "/api/v1/users/" + shown.at("meta").at("id").get<std::string>(), {}, session),
            "own_account");
  const std::string viewer = people.add("vera", "VIEWER");
  EXPECT_EQ(people.code("PATCH", "/api/v1/users/vera", R"({"role":"ADMINISTRATOR"})", viewer), "role_needed");
}

TEST(Roles, NobodyTakesFromThemselvesByTheirGroup) {
  People people;
  ASSERT_EQ(people.status("POST", "/api/v1/groups", R"({"name":"heads","role":"ADMINISTRATOR"})", kLocalToken), 200);
  const std::string session = people.add("adam", "NO_ROLE", {"heads"});
  EXPECT_EQ(people.code("PATCH", "/api/v1/groups/heads", R"({"role":"OPERATOR"})", session), "own_account");
  EXPECT_EQ(people.code("DELETE", "/api/v1/groups/heads", {}, session), "own_account");
  EXPECT_EQ(people.code("PATCH", "/api/v1/groups/heads", R"({"role":"ADMINISTRATOR"})", session), "200");
  EXPECT_EQ(people.code("PATCH", "/api/v1/groups/heads", R"({"role":"OPERATOR"})", kLocalToken), "200");
  EXPECT_EQ(people.code("GET", "/api/v1/users", {}, session), "role_needed");
}

TEST(Roles, OfTwoWhoTakeItFromEachOtherAtOnceOneDoes) {
  People people;
  const std::string session = people.add("adam", "ADMINISTRATOR");
  people.add("eve", "ADMINISTRATOR");
  const std::string key = model::record_key(model::kUser, "adam");
  v1::User adam;
  ASSERT_TRUE(adam.ParseFromString(people.server.store.entries().at(key).value));
  adam.set_role(v1::VIEWER);
  people.server.store.before_next_commit([&] { people.server.store.put(key, adam); });
  EXPECT_EQ(people.code("PATCH", "/api/v1/users/eve", R"({"role":"VIEWER"})", session), "conflict");
  EXPECT_EQ(json::parse(people.server.ask("GET", "/api/v1/users/eve").body).at("role"), "ADMINISTRATOR");
}

TEST(Roles, NoTokenMakesWhatOutlivesIt) {
  People people;
  const std::string session = people.add("adam", "ADMINISTRATOR");
  const std::string token = people.token_of(session, {{"name", "ci"}, {"roleMax", "ADMINISTRATOR"}});
  EXPECT_EQ(people.code("POST", "/api/v1/users", R"({"name":"x","password":"0123456789"})", token), "sign_in_needed");
  EXPECT_EQ(people.code("POST", "/api/v1/groups", R"({"name":"x","role":"VIEWER"})", token), "sign_in_needed");
  ASSERT_EQ(people.code("POST", "/api/v1/users", R"({"name":"x","password":"0123456789"})", session), "200");
  EXPECT_EQ(people.code("PATCH", "/api/v1/users/x", R"({"role":"ADMINISTRATOR"})", token), "sign_in_needed");
  EXPECT_EQ(people.code("GET", "/api/v1/users/x", {}, token), "200");
}

TEST(Roles, AnUploadEndsWithTheRightToIt) {
  People people;
  const std::string session = people.add("olga", "OPERATOR");
  Client client(people.server.started.port);
  client.send(
      "PUT /api/v1/images/debian/content HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n"
      "Expect: 100-continue\r\nAuthorization: Bearer " +
      session + "\r\n\r\n");
  ASSERT_NE(client.read_until("100 Continue\r\n\r\n"), "");
  client.send("hello");
  ASSERT_EQ(people.status("PATCH", "/api/v1/users/olga", R"({"role":"VIEWER"})", kLocalToken), 200);
  client.send("world");
  const Reply reply = client.receive();
  EXPECT_EQ(reply.status, 403);
  EXPECT_NE(reply.body.find("login_ended"), std::string::npos);
  EXPECT_NE(people.server.manager.calls().back().rpc, "UploadImage");
}

TEST(Roles, AnUploadThatTakesLongIsCutOffWithoutTheRightToIt) {
  People people([](ApiServerOptions& options) { options.heartbeat_ms = 20; });
  const std::string session = people.add("olga", "OPERATOR");
  Client client(people.server.started.port);
  client.send(
      "PUT /api/v1/images/debian/content HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n"
      "Expect: 100-continue\r\nAuthorization: Bearer " +
      session + "\r\n\r\n");
  ASSERT_NE(client.read_until("100 Continue\r\n\r\n"), "");
  client.send("hello");
  ASSERT_EQ(people.status("PATCH", "/api/v1/users/olga", R"({"disabled":true})", kLocalToken), 200);
  EXPECT_TRUE(client.wait_for_close());
}

TEST(Roles, ATokenForARoleMayNoMoreAndMakesNoOther) {
  People people;
  const std::string session = people.add("adam", "ADMINISTRATOR");
  const std::string viewer = people.token_of(session, {{"name", "look"}, {"roleMax", "VIEWER"}});
  EXPECT_EQ(people.status("GET", "/api/v1/vms", {}, viewer), 200);
  EXPECT_EQ(people.code("POST", "/api/v1/vms/web/start", {}, viewer), "role_needed");
  EXPECT_EQ(people.code("POST", "/api/v1/tokens", R"({"name":"more"})", viewer), "role_needed");
  EXPECT_EQ(people.code("DELETE", "/api/v1/tokens/look", {}, viewer), "role_needed");
  EXPECT_EQ(people.code("POST", "/api/v1/users/current/password", R"({"newPassword":"0123456789"})", viewer),
            "role_needed");
  EXPECT_EQ(json::parse(people.server.ask("GET", "/api/v1/sessions/current", {}, {}, viewer).body).at("role"),
            "VIEWER");
  // It follows its user down, too.
  const std::string operating = people.token_of(session, {{"name", "work"}, {"roleMax", "OPERATOR"}});
  ASSERT_EQ(people.status("PATCH", "/api/v1/users/adam", R"({"role":"VIEWER"})", kLocalToken), 200);
  EXPECT_EQ(people.code("POST", "/api/v1/vms/web/start", {}, operating), "role_needed");
  EXPECT_EQ(people.code("POST", "/api/v1/tokens", R"({"name":"more","roleMax":"OPERATOR"})", session), "role_needed");
  EXPECT_EQ(people.status("POST", "/api/v1/tokens", R"({"name":"bad","roleMax":7})", session), 400);
}

TEST(Roles, NoTokenMakesOneThatOutlivesIt) {
  People people;
  const std::string session = people.add("adam", "ADMINISTRATOR");
  const std::string week = people.token_of(session, {{"name", "week"}, {"lifetimeDays", 7}});
  EXPECT_EQ(people.code("POST", "/api/v1/tokens", R"({"name":"ever"})", week), "outlives_token");
  EXPECT_EQ(people.code("POST", "/api/v1/tokens", R"({"name":"long","lifetimeDays":8})", week), "outlives_token");
  EXPECT_EQ(people.code("POST", "/api/v1/tokens", R"({"name":"short","lifetimeDays":6})", week), "200");
}

TEST(Roles, CancellingTakesTheRoleOfWhatIsCancelled) {
  People people;
  people.server.manager.override_answer([](const FakeManager::Call& call, const port::Manager::Answer& done) {
    if (call.rpc != "GetTask") return false;
    auto task = std::make_unique<v1::Task>();
    task->set_action(call.request.find("host") != std::string::npos ? "host.update" : "vm.create");
    done(std::move(task));
    return true;
  });
  const std::string operating = people.add("olga", "OPERATOR");
  EXPECT_EQ(people.code("POST", "/api/v1/tasks/task-host/cancel", {}, operating), "role_needed");
  EXPECT_EQ(people.code("POST", "/api/v1/tasks/task-vm/cancel", {}, operating), "200");
  EXPECT_EQ(people.code("POST", "/api/v1/tasks/task-host/cancel", {}, kLocalToken), "200");
}

TEST(Roles, StreamsEndWhenTheirUserMayNoMore) {
  People people([](ApiServerOptions& options) { options.heartbeat_ms = 20; });
  const std::string operating = people.add("olga", "OPERATOR");
  Client events(people.server.started.port);
  events.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + operating + "\r\n\r\n");
  ASSERT_NE(events.read_until("connected"), "");
  Client console(people.server.started.port);
  console.send(
      "GET /api/v1/vms/vm-1/console HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
      "Authorization: Bearer " +
      operating + "\r\n\r\n");
  ASSERT_EQ(console.receive().status, 101);
  // A viewer follows events, but has no consoles.
  ASSERT_EQ(people.status("PATCH", "/api/v1/users/olga", R"({"role":"VIEWER"})", kLocalToken), 200);
  EXPECT_TRUE(console.wait_for_close());
  // More than can have come before that.
  for (int i = 0; i < 50; ++i) EXPECT_NE(events.read_until("heartbeat"), "");
  ASSERT_EQ(people.status("PATCH", "/api/v1/users/olga", R"({"role":"NO_ROLE"})", kLocalToken), 200);
  EXPECT_TRUE(events.wait_for_close());
}

TEST(Roles, AnAdministratorWhoSignedInSetsAnothersPasswordAndNoTokenDoes) {
  People people;
  const std::string session = people.add("adam", "ADMINISTRATOR");
  const std::string victim = people.add("vera", "VIEWER");
  const std::string wish = R"({"user":"vera","newPassword":"a new password"})";
  const std::string path = "/api/v1/users/current/password";
  EXPECT_EQ(people.code("POST", path, wish, people.token_of(session, {{"name", "ci"}})), "not_your_password");
  EXPECT_EQ(people.code("POST", path, R"({"user":"adam","newPassword":"a new password"})", victim),
            "not_your_password");
  EXPECT_EQ(people.code("POST", path, R"({"user":"adam","newPassword":"a new password"})", session), "wrong_password");
  EXPECT_EQ(people.code("POST", path, wish, session), "204");
  EXPECT_EQ(people.status("GET", "/api/v1/vms", {}, victim), 401);
  EXPECT_EQ(people.sign_in("vera"), "");
}

TEST(Roles, UsersAreMadeListedAndPlanned) {
  People people;
  const auto make = [&](const json& wish) { return people.code("POST", "/api/v1/users", wish.dump(), kLocalToken); };
  EXPECT_EQ(make({{"name", "Bad Name"}, {"password", "0123456789"}}), "invalid_field");
  EXPECT_EQ(make({{"name", "current"}, {"password", "0123456789"}}), "invalid_field");
  EXPECT_EQ(make({{"name", "local-root"}, {"password", "0123456789"}}), "invalid_field");
  EXPECT_EQ(make({{"name", "bob"}, {"password", "short"}}), "weak_password");
  EXPECT_EQ(make({{"name", "bob"}, {"password", "0123456789"}, {"role", 9}}), "invalid_argument");
  EXPECT_EQ(make({{"name", "bob"}, {"password", "0123456789"}, {"groups", {"none"}}}), "not_found");
  const auto before = people.server.store.entries().size();
  const json bob = {{"name", "bob"}, {"password", "0123456789"}, {"role", "VIEWER"}};
  const Reply plan = people.server.ask("POST", "/api/v1/users?dry_run=true", bob.dump());
  EXPECT_NE(plan.body.find("make user bob with the role viewer"), std::string::npos) << plan.body;
  EXPECT_EQ(people.server.store.entries().size(), before);
  EXPECT_EQ(make(bob), "200");
  EXPECT_EQ(make(bob), "already_exists");
  const json list = json::parse(people.server.ask("GET", "/api/v1/users").body).at("items");
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list.at(1).at("passwordHash"), "");
  EXPECT_EQ(people.code("PATCH", "/api/v1/users/bob", "{}", kLocalToken), "invalid_field");
  EXPECT_EQ(people.code("PATCH", "/api/v1/users/bob", R"({"updateMask":"passwordHash"})", kLocalToken),
            "invalid_field");
  EXPECT_EQ(people.code("DELETE", "/api/v1/users/none", {}, kLocalToken), "not_found");
  // A change that meets another is not lost silently.
  const std::string key = model::record_key(model::kUser, "bob");
  v1::User user;
  ASSERT_TRUE(user.ParseFromString(people.server.store.entries().at(key).value));
  people.server.store.before_next_commit([&] { people.server.store.put(key, user); });
  EXPECT_EQ(people.code("PATCH", "/api/v1/users/bob", R"({"role":"ADMINISTRATOR"})", kLocalToken), "conflict");
}

}  // namespace
}  // namespace gantry::server::testing
