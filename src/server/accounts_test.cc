// Users, sessions and tokens, over the API.
#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "gantry/v1/access.pb.h"
#include "model/keys.h"
#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

using nlohmann::json;

struct Clock {
  std::shared_ptr<std::atomic<Milliseconds>> ms = std::make_shared<std::atomic<Milliseconds>>(1'700'000'000'000);
  std::function<void(ApiServerOptions&)> set() const {
    return [this](ApiServerOptions& options) { options.now = [clock = ms] { return Now{*clock, *clock}; }; };
  }
};

TEST(Accounts, TheFirstStartMakesAdminOnce) {
  TestServer server;
  ASSERT_FALSE(server.started.first_password.empty());
  EXPECT_FALSE(server.login(server.started.first_password).empty());
  ApiServerOptions options = server.options;
  ApiServer again(options, server.manager, server.store, server.console);
  const auto started = again.start();
  ASSERT_TRUE(started);
  EXPECT_TRUE(started->first_password.empty());
}

TEST(Accounts, NothingSecretIsInTheStore) {
  TestServer server;
  const std::string session = server.login(server.started.first_password);
  const Reply made = server.ask("POST", "/api/v1/tokens", R"({"name":"ci"})", {}, session);
  ASSERT_EQ(made.status, 200) << made.body;
  const std::string token = json::parse(made.body).at("token");
  for (const auto& [key, entry] : server.store.entries()) {
    for (const std::string& secret : {session, token, server.started.first_password}) {
      EXPECT_EQ(key.find(secret), std::string::npos);
      EXPECT_EQ(entry.value.find(secret), std::string::npos) << key;
    }
  }
}

TEST(Accounts, SessionsServeUntilLogoutAndActAsTheirUser) {
  TestServer server;
  const std::string session = server.login(server.started.first_password);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, session).status, 200);
  EXPECT_EQ(server.manager.calls().back().options.actor, "admin");
  const Reply out = server.ask("DELETE", "/api/v1/sessions/current", {}, {}, session);
  EXPECT_EQ(out.status, 204) << out.body;
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, session).status, 401);
  EXPECT_EQ(server.ask("DELETE", "/api/v1/sessions/current").status, 409);
}

TEST(Accounts, SessionsSlideAndEnd) {
  Clock clock;
  TestServer server(clock.set());
  const std::string session = server.login(server.started.first_password);
  for (int i = 0; i < 3; ++i) {
    *clock.ms += 8LL * 3'600'000;
    EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, session).status, 200);
  }
  *clock.ms += 13LL * 3'600'000;
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, session).status, 401);
  // A later login sweeps what has ended.
  EXPECT_FALSE(server.login(server.started.first_password).empty());
  std::size_t sessions = 2;
  for (int i = 0; i < 1000 && sessions != 1; ++i) {
    sessions = 0;
    for (const auto& [key, entry] : server.store.entries()) sessions += key.rfind("/session/", 0) == 0 ? 1 : 0;
    server.ask("GET", "/api/v1/version");
  }
  EXPECT_EQ(sessions, 1U);
}

TEST(Accounts, ASessionInUseEndsAfterAWeek) {
  Clock clock;
  TestServer server(clock.set());
  const std::string session = server.login(server.started.first_password);
  constexpr Milliseconds kHour = 3'600'000;
  for (int i = 0; i < 16; ++i) {
    *clock.ms += 10 * kHour;
    EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, session).status, 200);
  }
  *clock.ms += 7 * kHour;
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, session).status, 200);
  *clock.ms += kHour;
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, session).status, 401);
}

TEST(Accounts, WrongPasswordsAreRefusedThenSlowedDown) {
  Clock clock;
  TestServer server(clock.set());
  const auto attempt = [&](const std::string& user, const std::string& password) {
    return server.ask("POST", "/api/v1/sessions", json({{"user", user}, {"password", password}}).dump(), {}, "");
  };
  EXPECT_EQ(attempt("nobody", "x").status, 401);
  EXPECT_EQ(attempt("nobody", "x").status, 401);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(attempt("admin", "wrong").status, 401);
  const Reply slowed = attempt("admin", server.started.first_password);
  EXPECT_EQ(slowed.status, 429);
  EXPECT_EQ(slowed.headers.at("retry-after"), "2") << slowed.body;
  *clock.ms += 2000;
  EXPECT_EQ(attempt("admin", server.started.first_password).status, 200);
}

TEST(Accounts, ANewPasswordEndsTheOtherSessions) {
  TestServer server;
  const std::string mine = server.login(server.started.first_password);
  const std::string other = server.login(server.started.first_password);
  const auto change = [&](const std::string& current, const std::string& fresh) {
    return server.ask("POST", "/api/v1/users/current/password",
                      json({{"currentPassword", current}, {"newPassword", fresh}}).dump(), {}, mine);
  };
  EXPECT_EQ(change("wrong", "long enough now").status, 403);
  EXPECT_EQ(change(server.started.first_password, "short").status, 400);
  EXPECT_EQ(change(server.started.first_password, "long enough now").status, 204);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, mine).status, 200);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, other).status, 401);
  EXPECT_TRUE(server.login(server.started.first_password).empty());
  EXPECT_FALSE(server.login("long enough now").empty());
  EXPECT_EQ(server.ask("POST", "/api/v1/users/current/password", R"({"newPassword":"long enough now"})").status, 409);
}

TEST(Accounts, RootOnTheMachineSetsALostPassword) {
  TestServer server;
  const std::string session = server.login(server.started.first_password);
  const auto set = [&](const json& body, const std::string& token, const std::string& query = "") {
    return server.ask("POST", "/api/v1/users/current/password" + query, body.dump(), {}, token);
  };
  const json wish = {{"user", "admin"}, {"newPassword", "root says so"}};
  EXPECT_EQ(set(wish, kLocalToken, "?dry_run=true").status, 200);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, session).status, 200);
  EXPECT_EQ(set({{"user", "nobody"}, {"newPassword", "root says so"}}, kLocalToken).status, 404);
  EXPECT_EQ(set({{"user", "local-root"}, {"newPassword", "root says so"}}, kLocalToken).status, 409);
  EXPECT_EQ(set({{"user", "admin"}, {"newPassword", "short"}}, kLocalToken).status, 400);
  // A token made by root is not root; nor does a session set a password without the current one.
  const json made = json::parse(server.ask("POST", "/api/v1/tokens", R"({"name":"ci"})").body);
  const Reply refused = set(wish, made.at("token"));
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(json::parse(refused.body).at("code"), "not_your_password");
  EXPECT_EQ(json::parse(set(wish, session).body).at("code"), "wrong_password");

  EXPECT_EQ(set(wish, kLocalToken).status, 204);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, session).status, 401);
  EXPECT_TRUE(server.login(server.started.first_password).empty());
  EXPECT_FALSE(server.login("root says so").empty());
}

TEST(Accounts, RootIsNotTurnedAwayFromAFullQueueOfPasswords) {
  TestServer server;
  const std::string wish = R"({"user":"admin","newPassword":"root says so"})";
  const std::string request =
      "POST /api/v1/users/current/password HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
      std::string(kLocalToken) +
      "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(wish.size()) + "\r\n\r\n" + wish;
  std::vector<std::unique_ptr<Client>> clients;
  clients.reserve(20);
  for (int i = 0; i < 20; ++i) clients.push_back(std::make_unique<Client>(server.started.port));
  for (auto& client : clients) ASSERT_TRUE(client->send(request));
  for (auto& client : clients) {
    const Reply reply = client->receive("POST");
    EXPECT_EQ(reply.body.find("too_many_attempts"), std::string::npos) << reply.body;
  }
}

TEST(Accounts, ALoginThatMeetsAChangeOfThePasswordOpensNothing) {
  TestServer server;
  const std::string key = model::record_key(model::kUser, "admin");
  v1::User user;
  ASSERT_TRUE(user.ParseFromString(server.store.entries().at(key).value));
  server.store.before_next_commit([&] { server.store.put(key, user); });
  EXPECT_TRUE(server.login(server.started.first_password).empty());
  EXPECT_FALSE(server.login(server.started.first_password).empty());
}

TEST(Accounts, ASessionOpenedWhileThePasswordIsChangedEnds) {
  TestServer server;
  v1::Session late;
  late.set_user("admin");
  late.set_token_hash("late");
  server.store.before_next_commit([&] { server.store.put(model::record_key(model::kSession, "late"), late); });
  const json wish = {{"user", "admin"}, {"newPassword", "root says so"}};
  EXPECT_EQ(server.ask("POST", "/api/v1/users/current/password", wish.dump(), {}, kLocalToken).status, 204);
  EXPECT_EQ(server.store.entries().count(model::record_key(model::kSession, "late")), 0U);
}

TEST(Accounts, DryRunsPlanAndChangeNothing) {
  TestServer server;
  const std::string session = server.login(server.started.first_password);
  ASSERT_EQ(server.ask("POST", "/api/v1/tokens", R"({"name":"old"})", {}, session).status, 200);
  const auto before = server.store.entries();
  const auto plan = [&](const std::string& method, const std::string& target, const std::string& body) {
    const Reply reply = server.ask(method, target + "?dry_run=true", body, {}, session);
    if (reply.status != 200) return std::to_string(reply.status);
    const json answer = json::parse(reply.body);
    EXPECT_FALSE(answer.contains("token"));
    return answer.at("plan").at("steps").at(0).get<std::string>();
  };
  const std::string password = server.started.first_password;
  const auto change = [&](const std::string& current) {
    return plan("POST", "/api/v1/users/current/password",
                json({{"currentPassword", current}, {"newPassword", "long enough now"}}).dump());
  };
  EXPECT_EQ(change(password), "change the password of user admin");
  EXPECT_EQ(change("wrong"), "403");
  EXPECT_EQ(plan("POST", "/api/v1/tokens", R"({"name":"ci","lifetimeDays":3})"),
            "make API token ci of user admin, for 3 days");
  EXPECT_EQ(plan("POST", "/api/v1/tokens", R"({"name":"old"})"), "409");
  EXPECT_EQ(plan("DELETE", "/api/v1/tokens/old", ""), "revoke API token old of user admin");
  EXPECT_EQ(plan("DELETE", "/api/v1/tokens/none", ""), "404");
  EXPECT_EQ(plan("DELETE", "/api/v1/sessions/current", ""),
            "close the session of user admin that this call is made with");
  const auto after = server.store.entries();
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [key, entry] : before) EXPECT_EQ(after.at(key).value, entry.value) << key;
  EXPECT_EQ(server.ask("POST", "/api/v1/sessions?dry_run=true", "{}", {}, "").status, 400);
}

TEST(Accounts, TokensAreMadeListedEndedAndRevoked) {
  Clock clock;
  TestServer server(clock.set());
  const auto make = [&](const std::string& body) { return server.ask("POST", "/api/v1/tokens", body); };
  EXPECT_EQ(make(R"({"name":"Bad Name"})").status, 400);
  const json forever = json::parse(make(R"({"name":"ci"})").body);
  EXPECT_EQ(make(R"({"name":"ci"})").status, 409);
  const json day = json::parse(make(R"({"name":"day","lifetimeDays":1})").body);
  const Reply list = server.ask("GET", "/api/v1/tokens");
  const json items = json::parse(list.body).at("items");
  EXPECT_EQ(items.size(), 2U);
  EXPECT_EQ(list.headers.at("cache-control"), "no-store");
  for (const json& item : items) EXPECT_EQ(item.at("tokenHash"), "");

  const auto works = [&](const json& made) {
    return server.ask("GET", "/api/v1/vms", {}, {}, made.at("token")).status;
  };
  EXPECT_EQ(works(forever), 200);
  EXPECT_EQ(works(day), 200);
  *clock.ms += 25LL * 3'600'000;
  EXPECT_EQ(works(day), 401);
  EXPECT_EQ(works(forever), 200);
  EXPECT_EQ(server.ask("DELETE", "/api/v1/tokens/ci").status, 204);
  EXPECT_EQ(works(forever), 401);
  EXPECT_EQ(server.ask("DELETE", "/api/v1/tokens/ci").status, 404);
  EXPECT_EQ(make(R"({"name":"ci"})").status, 200);
}

TEST(Accounts, AStoreThatIsAwayIsSaidSo) {
  TestServer server;
  server.store.set_unavailable(true);
  const Reply reply = server.ask("GET", "/api/v1/vms", {}, {}, "some-token");
  EXPECT_EQ(reply.status, 503);
  server.store.set_unavailable(false);
}

}  // namespace
}  // namespace gantry::server::testing
