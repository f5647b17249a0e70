// Sessions by cookie: what a browser may do with one, and what other pages cannot make it do.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/credentials.h"
#include "server/routes.h"
#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

using nlohmann::json;
using Headers = std::vector<std::string>;

const std::string kOwnPage = "Sec-Fetch-Site: same-origin";

Reply open_by_cookie(const TestServer& server, const Headers& headers) {
  const json wish = {{"user", "admin"}, {"password", server.started.first_password}, {"cookie", true}};
  return server.ask("POST", "/api/v1/sessions", wish.dump(), headers, "");
}

std::string cookie_of(const Reply& reply) {
  const std::string text = reply.headers.at("set-cookie");
  return "Cookie: theme=dark; " + text.substr(0, text.find(';'));
}

TEST(BrowserSession, TheTokenIsInACookieThatNoScriptReadsAndNowhereElse) {
  TestServer server;
  const Reply opened = open_by_cookie(server, {kOwnPage});
  ASSERT_EQ(opened.status, 200) << opened.body;
  EXPECT_EQ(json::parse(opened.body).at("token"), "");
  const std::string cookie = opened.headers.at("set-cookie");
  EXPECT_EQ(cookie.rfind("__Host-gantry-session=gs_", 0), 0U) << cookie;
  EXPECT_NE(cookie.find("; Path=/; Secure; HttpOnly; SameSite=Strict"), std::string::npos) << cookie;
  EXPECT_EQ(cookie.find("Domain"), std::string::npos);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {kOwnPage, cookie_of(opened)}, "").status, 200);
  EXPECT_EQ(server.manager.calls().back().options.actor, "admin");
}

TEST(BrowserSession, SigningOutEndsTheSessionAndTheCookie) {
  TestServer server;
  const std::string cookie = cookie_of(open_by_cookie(server, {kOwnPage}));
  const Reply planned = server.ask("DELETE", "/api/v1/sessions/current?dry_run=true", {}, {kOwnPage, cookie}, "");
  EXPECT_EQ(planned.status, 200);
  EXPECT_EQ(planned.headers.count("set-cookie"), 0U);
  const Reply closed = server.ask("DELETE", "/api/v1/sessions/current", {}, {kOwnPage, cookie}, "");
  EXPECT_EQ(closed.status, 204);
  EXPECT_EQ(closed.headers.at("set-cookie").rfind("__Host-gantry-session=; Max-Age=0", 0), 0U);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {kOwnPage, cookie}, "").status, 401);
}

TEST(BrowserSession, EveryRouteThatDoesMoreThanReadRefusesOtherPages) {
  TestServer server;
  const std::string cookie = cookie_of(open_by_cookie(server, {kOwnPage}));
  const std::vector<Headers> foreign = {
      {"Sec-Fetch-Site: cross-site"},
      {"Sec-Fetch-Site: same-site"},
      {"Origin: https://evil.example"},
      {"Origin: null"},
      {"Origin: http://localhost"},
      {"Sec-Fetch-Site: same-origin", "Origin: https://evil.example"},
      {"Sec-Fetch-Site: cross-site", "Origin: https://localhost"},
      {"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"},
  };
  const RouteTable routes;
  for (const RouteEntry& entry : routes.entries()) {
    if (entry.route.anonymous()) continue;
    std::string path = entry.route.path();
    if (const auto at = path.find("{id}"); at != std::string::npos) path.replace(at, 4, "web");
    const bool reads = entry.route.method() == "GET" && entry.route.kind() != v1::Route::EVENTS &&
                       entry.route.kind() != v1::Route::SOCKET;
    std::vector<Headers> refused = foreign;
    if (!reads) refused.insert(refused.end(), {{}, {"Sec-Fetch-Site: none"}});
    for (Headers headers : refused) {
      headers.push_back(cookie);
      const Reply reply = server.ask(entry.route.method(), path, {}, headers, "");
      EXPECT_EQ(reply.status, 403) << entry.rpc << " " << headers.front();
      EXPECT_NE(reply.body.find("foreign_origin"), std::string::npos) << entry.rpc << " " << reply.body;
    }
  }
  EXPECT_TRUE(server.manager.calls().empty());
}

TEST(BrowserSession, ReadsAreTakenFromAnAddressTypedByHand) {
  TestServer server;
  const std::string cookie = cookie_of(open_by_cookie(server, {kOwnPage}));
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {"Sec-Fetch-Site: none", cookie}, "").status, 200);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {cookie}, "").status, 200);
}

TEST(BrowserSession, AnOriginAloneIsEnoughWhenItIsThisServers) {
  TestServer server;
  const Reply opened = open_by_cookie(server, {"Origin: https://localhost"});
  ASSERT_EQ(opened.status, 200) << opened.body;
  const Reply made =
      server.ask("POST", "/api/v1/tokens", R"({"name":"ci"})", {"Origin: https://localhost", cookie_of(opened)}, "");
  EXPECT_EQ(made.status, 200) << made.body;
}

TEST(BrowserSession, NoOtherPageSignsItsVisitorsIn) {
  TestServer server;
  for (const Headers& headers :
       {Headers{}, Headers{"Sec-Fetch-Site: cross-site"}, Headers{"Origin: https://evil.example"}}) {
    const Reply reply = open_by_cookie(server, headers);
    EXPECT_EQ(reply.status, 403);
    EXPECT_EQ(reply.headers.count("set-cookie"), 0U);
  }
}

TEST(BrowserSession, CookieAndBearerDoNotServeForEachOther) {
  TestServer server;
  const std::string cookie = cookie_of(open_by_cookie(server, {kOwnPage}));
  const std::string from_cookie = cookie.substr(cookie.rfind('=') + 1);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {}, from_cookie).status, 401);
  const std::string name = std::string("Cookie: ") + kSessionCookie + "=";
  const json made = json::parse(server.ask("POST", "/api/v1/tokens", R"({"name":"ci"})").body);
  for (const std::string& token : {server.login(server.started.first_password), std::string(kLocalToken),
                                   made.at("token").get<std::string>(), std::string()}) {
    EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {kOwnPage, name + token}, "").status, 401);
  }
  // Two of them: one of the two is not from here.
  const std::string twice = cookie + "; " + kSessionCookie + "=x";
  EXPECT_EQ(server.ask("GET", "/api/v1/vms", {}, {kOwnPage, twice}, "").status, 401);
}

TEST(BrowserSession, EventsComeByCookieToTheOwnPageAlone) {
  TestServer server;
  const std::string cookie = cookie_of(open_by_cookie(server, {kOwnPage}));
  Client client(server.started.port);
  client.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n" + kOwnPage + "\r\n" + cookie + "\r\n\r\n");
  EXPECT_NE(client.read_until("text/event-stream"), "");
}

TEST(BrowserSession, AConsoleOpensByCookieForTheOwnPageAlone) {
  TestServer server;
  const std::string cookie = cookie_of(open_by_cookie(server, {kOwnPage}));
  const auto open = [&](Client& client, const std::string& origin) {
    client.send(
        "GET /api/v1/vms/vm-1/console HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: gantry.console\r\nOrigin: " +
        origin + "\r\n" + cookie + "\r\n\r\n");
    return client.receive().status;
  };
  Client own(server.started.port);
  EXPECT_EQ(open(own, "https://localhost"), 101);
  Client foreign(server.started.port);
  EXPECT_EQ(open(foreign, "https://evil.example"), 403);
}

TEST(BrowserSession, SaysWhoAsksAndUntilWhen) {
  TestServer server;
  const auto ask = [&](const Headers& headers, const std::string& token) {
    return json::parse(server.ask("GET", "/api/v1/sessions/current", {}, headers, token).body);
  };
  const json by_cookie = ask({kOwnPage, cookie_of(open_by_cookie(server, {kOwnPage}))}, "");
  EXPECT_EQ(by_cookie.at("user"), "admin");
  EXPECT_EQ(by_cookie.at("kind"), "SESSION");
  EXPECT_LT(by_cookie.at("expiresAt"), by_cookie.at("endsAt"));
  EXPECT_EQ(ask({}, kLocalToken).at("user"), "local-root");
  const json made = json::parse(server.ask("POST", "/api/v1/tokens", R"({"name":"ci"})").body);
  const json by_token = ask({}, made.at("token"));
  EXPECT_EQ(by_token.at("kind"), "API_TOKEN");
  EXPECT_EQ(by_token.count("expiresAt"), 0U);
  EXPECT_EQ(server.ask("GET", "/api/v1/sessions/current", {}, {}, "").status, 401);
}

}  // namespace
}  // namespace gantry::server::testing
