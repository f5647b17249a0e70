// The parts that need no socket.
#include <gtest/gtest.h>

#include <set>

#include "server/http.h"
#include "server/json.h"
#include "server/login_throttle.h"
#include "server/request_headers.h"
#include "server/routes.h"
#include "server/secrets.h"
#include "server/url.h"

namespace gantry::server {
namespace {

Result<DecodedRequest> decode(const std::string& method, const std::string& target, const std::string& body = {}) {
  static const RouteTable routes;
  const auto parsed = parse_target(target);
  if (!parsed) return fail(parsed.error());
  const auto match = routes.find(method, parsed->segments);
  if (!match) return fail(match.error());
  return decode_request(*match, parsed->query, body);
}

std::string cause_of(const Result<DecodedRequest>& result) {
  return result ? "" : result.error().summary + " " + result.error().cause;
}

TEST(Url, SplitsAndDecodes) {
  const auto target = parse_target("/api/v1/vms/a%2Fb%20c?labels=k%3Dv,x+y&open");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->segments, (std::vector<std::string>{"api", "v1", "vms", "a/b c"}));
  ASSERT_EQ(target->query.size(), 2U);
  EXPECT_EQ(target->query[0].value, "k=v,x y");
  EXPECT_EQ(target->query[1].name, "open");
}

TEST(Url, RefusesWhatIsMalformed) {
  for (const char* text :
       {"", "x", "http://a/b", "/%", "/%4", "/%zz", "/%00", "/%ff", "/a%0ab", "/%c0%af", "/%ed%a0%80"}) {
    EXPECT_FALSE(parse_target(text)) << text;
  }
}

TEST(Url, EncodesSoThatDecodingGivesItBack) {
  const std::string text = "a b/ü?&=%+";
  EXPECT_EQ(percent_decode(percent_encode(text), true).value(), text);
}

TEST(Json, NamesWhatItRefuses) {
  const auto refused = [](const std::string& body) { return cause_of(decode("POST", "/api/v1/vms", body)); };
  EXPECT_NE(refused(R"({"nmae":"a"})").find("nmae"), std::string::npos) << refused(R"({"nmae":"a"})");
  EXPECT_NE(refused(R"({"spec":{"memory":1}})").find("memory"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"a","name":"b"})").find("twice"), std::string::npos);
  EXPECT_NE(refused(R"({"spec":{"cpus":-1}})").find("cpus"), std::string::npos) << refused(R"({"spec":{"cpus":-1}})");
  EXPECT_NE(refused(R"({"spec":{"power":"FLYING"}})").find("power"), std::string::npos);
  EXPECT_NE(refused(R"({"spec":{"power":77}})").find("power"), std::string::npos);
  EXPECT_NE(refused("{name:\"a\"}").find("not JSON"), std::string::npos);
  EXPECT_NE(refused("[]").find("object"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"a\u0000b"})").find("NUL"), std::string::npos);
  EXPECT_NE(refused(std::string(40, '[')).find("deep"), std::string::npos);
}

TEST(Json, WritesWhatIsAtItsDefaultToo) {
  v1::Vm vm;
  vm.mutable_meta()->set_revision(1ULL << 60U);
  vm.mutable_spec();
  const std::string text = write_json(vm);
  EXPECT_NE(text.find(R"("power":"RUNNING")"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("revision":"1152921504606846976")"), std::string::npos) << text;
  EXPECT_EQ(text.find('\n'), text.size() - 1);
}

TEST(Decode, TakesFieldsFromPathQueryAndBody) {
  auto stop = decode("POST", "/api/v1/vms/web/stop?dry_run=true", R"({"force":true,"timeout_seconds":5})");
  ASSERT_TRUE(stop) << cause_of(stop);
  EXPECT_TRUE(stop->dry_run);
  EXPECT_EQ(stop->message->ShortDebugString(), R"(id: "web" force: true timeout_seconds: 5)");
  auto erase = decode("DELETE", "/api/v1/vms/web?keepVolumes=true&dry_run");
  ASSERT_TRUE(erase) << cause_of(erase);
  EXPECT_EQ(erase->message->ShortDebugString(), R"(id: "web" keep_volumes: true)");
  auto list = decode("GET", "/api/v1/vms?page_size=3&labels=a%3Db");
  ASSERT_TRUE(list) << cause_of(list);
  EXPECT_EQ(list->message->ShortDebugString(), R"(labels: "a=b" page_size: 3)");
}

TEST(Decode, TakesTimesFromTheQuery) {
  auto metrics = decode("GET", "/api/v1/vms/web/metrics?from=2027-01-31T14:00:00Z&to=2027-01-31T15:00:00%2B01:00");
  ASSERT_TRUE(metrics) << cause_of(metrics);
  const auto& request = dynamic_cast<const v1::GetMetricsRequest&>(*metrics->message);
  EXPECT_EQ(request.from().seconds(), 1'801'404'000);
  EXPECT_EQ(request.to().seconds(), 1'801'404'000) << "at another meridian";
  for (const char* wrong : {"yesterday", "", "1801404000", "2027-02-30T14:00:00Z", "10000-01-01T00:00:00Z"}) {
    const auto refused = decode("GET", "/api/v1/vms/web/metrics?from=" + std::string(wrong));
    EXPECT_NE(cause_of(refused).find("it is no time"), std::string::npos) << wrong;
  }
}

TEST(Decode, RefusesParametersThatDoNotBelong) {
  EXPECT_NE(cause_of(decode("GET", "/api/v1/vms?colour=1")).find("colour"), std::string::npos);
  EXPECT_NE(cause_of(decode("GET", "/api/v1/vms?dry_run=true")).find("dry_run"), std::string::npos);
  EXPECT_NE(cause_of(decode("GET", "/api/v1/vms?pageSize=x")).find("pageSize"), std::string::npos);
  EXPECT_NE(cause_of(decode("GET", "/api/v1/vms?pageSize=1&page_size=1")).find("twice"), std::string::npos);
  EXPECT_NE(cause_of(decode("POST", "/api/v1/vms?name=a")).find("name"), std::string::npos);
  EXPECT_NE(cause_of(decode("POST", "/api/v1/vms?dry_run=perhaps")).find("dry_run"), std::string::npos);
  EXPECT_FALSE(decode("POST", "/api/v1/vms/a/stop", R"({"id":"b"})"));
  EXPECT_FALSE(decode("GET", "/api/v1/vms/a?id=b"));
  EXPECT_FALSE(decode("GET", "/api/v1/vms", "{}"));
}

TEST(Routes, HaveAllTheMethodsOfTheService) {
  const RouteTable routes;
  std::set<std::string> places;
  for (const RouteEntry& entry : routes.entries()) {
    EXPECT_TRUE(places.insert(entry.route.method() + entry.route.path()).second) << entry.rpc;
    EXPECT_FALSE(entry.route.summary().empty()) << entry.rpc;
    auto match = routes.find(entry.route.method(), entry.segments);
    ASSERT_TRUE(match);
    EXPECT_EQ(match->entry->rpc, entry.rpc);
    for (const auto& [name, text] : match->parameters) {
      const auto* field = entry.method->input_type()->FindFieldByName(name);
      ASSERT_NE(field, nullptr) << entry.rpc;
      EXPECT_EQ(field->cpp_type(), google::protobuf::FieldDescriptor::CPPTYPE_STRING);
    }
  }
  EXPECT_GT(places.size(), 40U);
  EXPECT_EQ(routes.allowed({"api", "v1", "vms"}), "GET, HEAD, POST");
}

TEST(RequestHeaders, AreReadStrictly) {
  EXPECT_EQ(parse_if_match("\"12\"").value(), 12U);
  EXPECT_EQ(parse_if_match("*").value(), 0U);
  for (const char* text : {"12", "\"\"", "\"a\"", "\"1\", \"2\"", "\"0\"", "\"-1\""})
    EXPECT_FALSE(parse_if_match(text));
  EXPECT_TRUE(names_revision("\"1\", W/\"12\"", 12));
  EXPECT_FALSE(names_revision("\"1\", \"2\"", 12));
  EXPECT_TRUE(parse_idempotency_key("3f6a-1"));
  EXPECT_FALSE(parse_idempotency_key("a b"));
  EXPECT_FALSE(parse_idempotency_key(std::string(129, 'a')));
  EXPECT_EQ(parse_last_event_id("", 5).value(), 5U);
  EXPECT_EQ(parse_last_event_id("6", 5).value(), 6U);
  EXPECT_FALSE(parse_last_event_id("six", 5));
}

TEST(Errors, HaveAStatusEach) {
  EXPECT_EQ(status_of(Error{.code = ErrorCode::conflict, .summary = ""}), 409U);
  EXPECT_EQ(status_of(Error{.code = ErrorCode::conflict, .summary = "", .reason = "revision_changed"}), 412U);
  EXPECT_EQ(status_of(Error{.code = ErrorCode::out_of_space, .summary = ""}), 507U);
  const HttpAnswer answer = answer_for(Error{.code = ErrorCode::unauthenticated, .summary = "no"});
  EXPECT_EQ(answer.headers.front().first, "WWW-Authenticate");
}

TEST(Secrets, PasswordsAreHashedAndFound) {
  const std::string password = new_password();
  EXPECT_EQ(password.size(), 23U);
  EXPECT_NE(password, new_password());
  const auto hash = hash_password(password);
  ASSERT_TRUE(hash);
  EXPECT_EQ(hash->rfind("$argon2id$", 0), 0U);
  EXPECT_TRUE(verify_password(*hash, password));
  EXPECT_FALSE(verify_password(*hash, password + "x"));
  EXPECT_FALSE(verify_password("", password));
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(LoginThrottle, MakesAUserWaitThereButNeverForLong) {
  LoginThrottle throttle;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(throttle.begin("admin", "b", 1000), 0);
  EXPECT_EQ(throttle.begin("admin", "b", 1000), 1000);
  EXPECT_EQ(throttle.begin("other", "b", 1000), 0);
  // Whoever guesses there locks nobody out elsewhere.
  EXPECT_EQ(throttle.begin("admin", "c", 1000), 0);
  Milliseconds now_ms = 2000;
  for (int i = 0; i < 12; ++i) {
    const Milliseconds wait_ms = throttle.begin("admin", "b", now_ms);
    EXPECT_LE(wait_ms, 60'000);
    now_ms += std::max<Milliseconds>(wait_ms, 1);
  }
  throttle.begin("admin", "b", now_ms);
  EXPECT_GT(throttle.begin("admin", "b", now_ms), 0);
  throttle.succeeded("admin", "b");
  EXPECT_EQ(throttle.begin("admin", "b", now_ms), 0);
}

TEST(LoginThrottle, FloodsFromEverywhereDoNotForgetTheOneWhoGuessesNow) {
  LoginThrottle throttle;
  for (int i = 0; i < 6'000; ++i) EXPECT_EQ(throttle.begin("u" + std::to_string(i), "n" + std::to_string(i), i), 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(throttle.begin("admin", "b", 20'000), 0);
  for (int i = 0; i < 4'000; ++i) throttle.begin("v" + std::to_string(i), "m" + std::to_string(i), 20'001);
  EXPECT_GT(throttle.begin("admin", "b", 20'002), 0);
}

TEST(LoginThrottle, ASubscriberIsOneNetwork) {
  EXPECT_EQ(network_of("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(network_of("::ffff:192.0.2.1"), "::ffff:192.0.2.1");
  EXPECT_EQ(network_of("2001:db8:1:2:3:4:5:6"), network_of("2001:db8:1:2::7"));
  // Zeros are left out in the text.
  EXPECT_EQ(network_of("2001:db8::1"), network_of("2001:db8::1:2:3:4"));
  EXPECT_EQ(network_of("fe80::1%eth0"), network_of("fe80::2%eth0"));
  EXPECT_NE(network_of("2001:db8:0:1::1"), network_of("2001:db8:0:2::1"));
  EXPECT_EQ(network_of("nonsense"), "nonsense");
}

TEST(LoginThrottle, MakesAnAddressWaitAndForgets) {
  LoginThrottle throttle;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(throttle.begin("user" + std::to_string(i), "here", 0), 0);
  EXPECT_GT(throttle.begin("another", "here", 0), 0);
  EXPECT_EQ(throttle.begin("another", "there", 0), 0);
  EXPECT_EQ(throttle.begin("another", "here", 15LL * 60'000), 0);
}

}  // namespace
}  // namespace gantry::server
