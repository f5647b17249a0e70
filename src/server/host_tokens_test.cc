// Tokens for machines that join, over the whole server.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/join_token.h"
#include "server/secrets.h"
#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

using nlohmann::json;

TEST(HostTokens, AreShownOnceAndKeptAsHashes) {
  TestServer server(listen_for_hosts);
  keep_host_tokens(server.manager);
  const Reply reply = server.ask("POST", "/api/v1/host-tokens");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.headers.at("cache-control"), "no-store");
  const json answer = json::parse(reply.body);
  const auto token = model::parse_join_token(answer.at("token").get<std::string>());
  ASSERT_TRUE(token);
  EXPECT_EQ(token->addresses(0), "192.0.2.1:8444");
  EXPECT_EQ(token->authority_fingerprint(), std::string(32, 'f'));
  EXPECT_GE(token->secret().size(), 40U);
  const auto calls = server.manager.calls();
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].request, "secret_hash: \"" + sha256_hex(token->secret()) + "\"");
  EXPECT_EQ(calls[0].options.actor, "local-root");
  const json second = json::parse(server.ask("POST", "/api/v1/host-tokens").body);
  EXPECT_NE(second.at("token"), answer.at("token"));
}

TEST(HostTokens, ADryRunShowsThePlanAlone) {
  TestServer server(listen_for_hosts);
  keep_host_tokens(server.manager);
  const Reply reply = server.ask("POST", "/api/v1/host-tokens?dry_run=true");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const json answer = json::parse(reply.body);
  EXPECT_FALSE(answer.contains("token"));
  EXPECT_EQ(answer.at("plan").at("steps").size(), 1U);
}

TEST(HostTokens, NeedALoginAndALinkThatListens) {
  TestServer server(listen_for_hosts);
  EXPECT_EQ(server.ask("POST", "/api/v1/host-tokens", {}, {}, "").status, 401);
  TestServer closed;
  const Reply reply = closed.ask("POST", "/api/v1/host-tokens");
  EXPECT_EQ(reply.status, 422);
  EXPECT_EQ(json::parse(reply.body).at("code"), "link_off");
}

}  // namespace
}  // namespace gantry::server::testing
