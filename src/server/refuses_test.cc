// A server in whose place another serves: whoever asks whatever is told so.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

TEST(Refuses, EveryRequestIsAnsweredAlikeAndNothingIsAskedOrMade) {
  TestServer server([](ApiServerOptions& options) {
    options.refuses = [] {
      return Error{ErrorCode::unavailable, "this manager does not lead", "the leader is alpha", "ask that one",
                   "not_the_leader"};
    };
  });
  EXPECT_EQ(server.started.first_password, "");
  const std::string body(20'000, ' ');
  for (const auto& [method, target] : {std::pair{"GET", "/api/v1/vms"},
                                       {"POST", "/api/v1/vms"},
                                       {"POST", "/api/v1/login"},
                                       {"GET", "/api/v1/events"},
                                       {"GET", "/api/v1/vms/web/console"},
                                       {"PUT", "/api/v1/images/i/content"},
                                       {"GET", "/nowhere"}}) {
    const Reply reply = server.ask(method, target, std::string(method) == "GET" ? "" : body, {}, "");
    EXPECT_EQ(reply.status, 503) << target;
    EXPECT_NE(reply.body.find("not_the_leader"), std::string::npos) << reply.body;
    EXPECT_TRUE(reply.headers.contains("retry-after"));
  }
  EXPECT_EQ(server.ask("HEAD", "/api/v1/vms").body, "");
  EXPECT_TRUE(server.manager.calls().empty());
}

}  // namespace
}  // namespace gantry::server::testing
