// Random and mutated requests at every route of a real server: nothing but answers below 500, with a reason.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "server/routes.h"
#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

using nlohmann::json;

class Attacker {
 public:
  explicit Attacker(std::uint64_t seed) : rng_(seed) {}

  std::string pick(const std::vector<std::string>& from) { return from[rng_.below(from.size())]; }
  std::string bytes(std::size_t size_max) {
    std::string text;
    for (std::uint64_t left = rng_.below(size_max + 1); left > 0; --left) text += static_cast<char>(rng_.below(256));
    return text;
  }
  std::string mutated(std::string text) {
    for (std::uint64_t times = rng_.below(4); times > 0 && !text.empty(); --times) {
      const std::size_t at = rng_.below(text.size());
      switch (rng_.below(4)) {
        case 0: text[at] = static_cast<char>(rng_.below(256)); break;
        case 1: text.erase(at, 1 + rng_.below(5)); break;
        case 2:
          text.insert(at, pick({"\"", "{", "}", "[", "\\u0000", "%00", "null", "1e999", "\xff", ",", "-1"}));
          break;
        default: text.insert(at, text.substr(0, rng_.below(text.size() + 1)));
      }
    }
    return text;
  }
  std::string path(const RouteEntry& entry) {
    std::string target = entry.route.path();
    if (const std::size_t at = target.find("{id}"); at != std::string::npos) {
      target.replace(
          at, 4, pick({"web", "%00", "%2e%2e", "..", "a%2Fb", "%", "%ff", std::string(300, 'a'), "vm-000000000000"}));
    }
    target += pick({"", "", "?dry_run=true", "?dry_run=2", "?page_size=-1", "?labels=%", "?a=b&a=b",
                    "?from_revision=1e3", "?id=x", "?keep_volumes=true", "?&&=&"});
    return target;
  }
  std::string body() {
    return mutated(
        pick({"", "{}", "[]", "null",
              R"({"name":"web","spec":{"cpus":2,"memoryMib":512,"disks":[{"create":{"capacityBytes":"1"}}]}})",
              R"({"spec":{"power":"PAUSED","nics":[{"portForwards":[{"hostPort":1}]}]},"labels":{"a":"b"}})",
              R"({"force":true,"timeoutSeconds":4294967296})", R"({"user":"admin","password":"x"})",
              R"({"currentPassword":"a","newPassword":"bbbbbbbbbbbb"})", R"({"name":"t","lifetimeDays":1})",
              R"({"capacityBytes":"18446744073709551616"})", std::string(200, '['), std::string(5000, '{'),
              R"({"meta":{"createdAt":"not a time"}})", bytes(200)}));
  }
  // One with a line break would only end the header.
  std::string header() {
    std::string text =
        mutated(pick({"If-Match: \"5\"", "If-None-Match: *", "Idempotency-Key: k", "Content-Type: text/html",
                      "Last-Event-ID: x", "Expect: 100-continue", "Range: bytes=0-1", "Accept: */*",
                      "X-A: " + bytes(50), "Content-Type: application/json", "Connection: close"}));
    std::erase_if(text, [](char c) { return c == '\r' || c == '\n'; });
    return text;
  }
  bool chance(std::uint64_t of) { return rng_.chance(1, of); }

 private:
  Rng rng_;
};

// Returns whether there was an answer at all.
bool check(const Reply& reply, const std::string& what) {
  if (reply.status == 0) return false;
  EXPECT_LT(reply.status, 500) << what << "\n" << reply.body;
  if (reply.status >= 400) {
    const json body = json::parse(reply.body, nullptr, false);
    EXPECT_TRUE(body.is_object()) << what << "\n" << reply.body;
    if (body.is_object()) {
      EXPECT_EQ(body.value("status", 0), reply.status);
      EXPECT_NE(body.value("summary", ""), "");
    }
  }
  return true;
}

TEST(Hostile, EveryRouteRefusesNonsenseWithAReason) {
  TestServer server([](ApiServerOptions& options) { options.body_timeout_ms = options.header_timeout_ms = 300; });
  Attacker attacker(20240611);
  const RouteTable routes;
  std::size_t answers = 0;
  std::size_t requests = 0;
  for (int round = 0; round < 40; ++round) {
    for (const RouteEntry& entry : routes.entries()) {
      const bool opens_stream = entry.route.kind() == v1::Route::EVENTS;
      const std::string method =
          attacker.chance(10) ? attacker.pick({"GET", "PUT", "BREW", "OPTIONS", "HEAD"}) : entry.route.method();
      const std::string target = attacker.chance(10) ? attacker.mutated(attacker.path(entry)) : attacker.path(entry);
      std::vector<std::string> headers;
      if (!attacker.chance(10)) headers.push_back(std::string("Authorization: Bearer ") + kLocalToken);
      if (attacker.chance(2)) headers.push_back(attacker.header());
      const std::string body = opens_stream || attacker.chance(5) ? std::string() : attacker.body();
      const std::string what = method + " " + target + "\n" + body;
      Client client(server.started.port);
      ASSERT_TRUE(client.connected()) << what;
      ++requests;
      const Reply reply = client.ask(method, target, body, headers);
      // HEAD shows no reason.
      if (method == "HEAD" ? reply.status != 0 && reply.status < 500 : check(reply, what)) ++answers;
    }
  }
  // A few were broken so far that the server waited for more of them, and then closed.
  EXPECT_GT(answers * 100, requests * 90) << answers << " of " << requests;
  EXPECT_EQ(server.ask("GET", "/api/v1/version").status, 200);
}

TEST(Hostile, BytesThatAreNoHttpAreRefused) {
  TestServer server([](ApiServerOptions& options) { options.header_timeout_ms = 50; });
  Attacker attacker(7);
  for (int i = 0; i < 200; ++i) {
    Client client(server.started.port, i % 4 != 0);
    client.send(attacker.bytes(300) + "\r\n\r\n");
    const Reply reply = client.receive();
    EXPECT_TRUE(reply.status == 0 || reply.status == 400 || reply.status == 431) << reply.status;
  }
  EXPECT_EQ(server.ask("GET", "/api/v1/version").status, 200);
}

}  // namespace
}  // namespace gantry::server::testing
