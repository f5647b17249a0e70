// Requests and answers over real TLS.
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/files.h"
#include "server/certificate.h"
#include "server/routes.h"
#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

using nlohmann::json;

TEST(Http, AnswersEachKindOfRoute) {
  TestServer server;
  const Reply vm = server.ask("GET", "/api/v1/vms/web");
  EXPECT_EQ(vm.status, 200);
  EXPECT_EQ(vm.headers.at("etag"), "\"7\"");
  EXPECT_EQ(vm.headers.at("content-type"), "application/json");
  EXPECT_EQ(vm.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(json::parse(vm.body).at("meta").at("name"), "thing");

  const Reply made =
      server.ask("PATCH", "/api/v1/vms/web", R"({"cpus":2})", {"Idempotency-Key: k1", "If-Match: \"7\""});
  EXPECT_EQ(made.status, 202) << made.body;
  EXPECT_EQ(made.headers.at("location"), "/api/v1/tasks/task-000000000001");
  const auto call = server.manager.calls().back();
  EXPECT_EQ(call.rpc, "UpdateVm");
  EXPECT_EQ(call.request, R"(id: "web" cpus: 2 update_mask { paths: "cpus" })");
  EXPECT_EQ(call.options.actor, "local-root");
  EXPECT_EQ(call.options.idempotency_key, "k1");
  EXPECT_EQ(call.options.if_match, 7U);

  const Reply planned = server.ask("POST", "/api/v1/vms?dry_run=true", R"({"name":"web"})");
  EXPECT_EQ(planned.status, 200);
  EXPECT_EQ(json::parse(planned.body).at("plan").at("steps").at(0), "do it");
  EXPECT_TRUE(server.manager.calls().back().options.dry_run);

  EXPECT_EQ(server.ask("POST", "/api/v1/tasks/t/cancel").status, 200);
  const Reply version = server.ask("GET", "/api/v1/version", {}, {}, "");
  EXPECT_EQ(json::parse(version.body).at("version"), "1.2.3");
}

TEST(Http, ADocumentComesAsItIs) {
  TestServer server;
  const std::string text = "gantry_vms{state=\"RUNNING\"} 3\n";
  server.manager.override_answer([&](const auto& call, const auto& done) {
    if (call.rpc != "GetPrometheus") return false;
    auto document = std::make_unique<v1::Document>();
    document->set_content(text);
    done(std::move(document));
    return true;
  });
  const Reply metrics = server.ask("GET", "/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.headers.at("content-type"), "text/plain; version=0.0.4");
  EXPECT_EQ(metrics.body, text);
  EXPECT_EQ(server.ask("GET", "/metrics", {}, {}, "").status, 401);
}

TEST(Http, ConditionsThatNobodyWouldLookAtAreRefused) {
  TestServer server;
  const auto code = [](const Reply& reply) {
    return std::to_string(reply.status) + " " + json::parse(reply.body).at("code").get<std::string>();
  };
  const std::string match = "If-Match: \"7\"";
  const std::string key = "Idempotency-Key: k1";
  const RouteTable routes;
  for (const RouteEntry& entry : routes.entries()) {
    std::string target = entry.route.path();
    if (const std::size_t at = target.find("{id}"); at != std::string::npos) target.replace(at, 4, "thing");
    const std::string& method = entry.route.method();
    const bool change = entry.route.kind() == v1::Route::CHANGE;
    const bool record = entry.route.path().find("{id}") != std::string::npos;
    if (change && !record) {
      EXPECT_EQ(code(server.ask(method, target, {}, {match})), "412 nothing_to_match") << entry.rpc;
      EXPECT_EQ(code(server.ask(method, target, {}, {"If-Match: *"})), "412 nothing_to_match") << entry.rpc;
    } else if (!change && entry.rpc != "CancelTask" && entry.rpc != "UploadImage") {
      EXPECT_EQ(code(server.ask(method, target, {}, {match})), "400 unused_header") << entry.rpc;
    }
    if (!change && method != "GET") {
      EXPECT_EQ(code(server.ask(method, target, {}, {key})), "400 unused_header") << entry.rpc;
    }
  }
  EXPECT_TRUE(server.manager.calls().empty());
  EXPECT_TRUE(json::parse(server.ask("GET", "/api/v1/tokens").body).at("items").empty());
}

TEST(Http, WhatAnUpdateNamesIsChangedThoughItBeNothing) {
  TestServer server;
  const auto asked = [&server](const std::string& body) {
    EXPECT_EQ(server.ask("PATCH", "/api/v1/vms/web", body).status, 202);
    return server.manager.calls().back().request;
  };
  EXPECT_EQ(asked(R"({"labels":{}})"), R"(id: "web" update_mask { paths: "labels" })");
  EXPECT_EQ(asked(R"({"stop_timeout_seconds":0,"cpus":null,"id":"web"})"),
            R"(id: "web" update_mask { paths: "stop_timeout_seconds" })");
  EXPECT_EQ(asked(R"({"cpus":2,"updateMask":"labels,stopTimeoutSeconds"})"),
            R"(id: "web" cpus: 2 update_mask { paths: "labels" paths: "stop_timeout_seconds" })");
  EXPECT_EQ(asked("{}"), R"(id: "web" update_mask { })");
}

TEST(Http, KnowsWhatTheClientHas) {
  TestServer server;
  const Reply same = server.ask("GET", "/api/v1/vms/web", {}, {"If-None-Match: \"7\""});
  EXPECT_EQ(same.status, 304);
  EXPECT_TRUE(same.body.empty());
  EXPECT_EQ(server.ask("GET", "/api/v1/vms/web", {}, {"If-None-Match: \"8\""}).status, 200);
  const Reply head = server.ask("HEAD", "/api/v1/vms/web");
  EXPECT_EQ(head.status, 200);
  EXPECT_NE(head.headers.at("content-length"), "0");
}

TEST(Http, ErrorsSayWhatWhyAndWhatNext) {
  TestServer server;
  const auto check = [](const Reply& reply, int status, const std::string& code) {
    EXPECT_EQ(reply.status, status) << reply.body;
    const json body = json::parse(reply.body);
    EXPECT_EQ(body.at("status"), status);
    EXPECT_EQ(body.at("code"), code);
    EXPECT_NE(body.at("summary"), "");
    EXPECT_NE(body.at("nextStep"), "");
  };
  check(server.ask("GET", "/nothing"), 404, "no_such_route");
  const Reply method = server.ask("PUT", "/api/v1/vms");
  check(method, 405, "method_not_allowed");
  EXPECT_EQ(method.headers.at("allow"), "GET, HEAD, POST");
  const Reply nobody = server.ask("GET", "/api/v1/vms", {}, {}, "");
  check(nobody, 401, "no_credentials");
  EXPECT_EQ(nobody.headers.at("www-authenticate"), "Bearer realm=\"gantry\"");
  check(server.ask("GET", "/api/v1/vms", {}, {}, "wrong"), 401, "invalid_token");
  check(server.ask("POST", "/api/v1/vms", "a=b", {"Content-Type: application/x-www-form-urlencoded"}), 415,
        "media_type");
  check(server.ask("POST", "/api/v1/vms", "{\"name\":\"" + std::string(2U << 20U, 'a') + "\"}"), 413, "body_too_large");
  check(server.ask("GET", "/api/v1/vms", {}, {"X-Long: " + std::string(20000, 'a')}), 431, "header_too_large");
  check(server.ask("PATCH", "/api/v1/vms/web", R"({"cpus":2})", {"If-Match: 5"}), 400, "invalid_argument");
  server.manager.override_answer([](const auto&, const port::Manager::Answer& done) {
    done(fail(ErrorCode::conflict, "VM \"web\" was not changed", "it changed", "read it again", "revision_changed"));
    return true;
  });
  check(server.ask("PATCH", "/api/v1/vms/web", "{}"), 412, "revision_changed");
}

TEST(Http, ServesManyRequestsOnOneConnection) {
  TestServer server;
  Client client(server.started.port);
  const std::string auth = std::string("Authorization: Bearer ") + kLocalToken;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.ask("GET", "/api/v1/vms/web", {}, {auth}).status, 200);
  // Pipelined, in order.
  const std::string request = "GET /api/v1/vms/web HTTP/1.1\r\nHost: a\r\n" + auth + "\r\n\r\n";
  client.send(request + "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n" + request);
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.receive().status, 404);
  EXPECT_EQ(client.receive().status, 200);
}

TEST(Http, TakesChunkedBodiesAndExpectations) {
  TestServer server;
  Client client(server.started.port);
  const std::string head =
      std::string("POST /api/v1/vms HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ") + kLocalToken + "\r\n";
  client.send(head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"nam\r\n8\r\ne\":\"w\"} \r\n0\r\n\r\n");
  EXPECT_EQ(client.receive().status, 202);
  client.send(head + "Expect: 100-continue\r\nContent-Length: 12\r\n\r\n");
  EXPECT_EQ(client.receive("POST", true).status, 100);
  client.send("{\"name\":\"w\"}");
  EXPECT_EQ(client.receive().status, 202);
}

TEST(Http, TellsPlainTextClientsWhereTheyAre) {
  TestServer server;
  Client client(server.started.port, false);
  const Reply reply = client.ask("GET", "/api/v1/vms");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(json::parse(reply.body).at("code"), "tls_needed");
  EXPECT_TRUE(client.wait_for_close());
}

TEST(Http, EndsClientsThatAreTooSlow) {
  TestServer server([](ApiServerOptions& options) { options.header_timeout_ms = 100, options.body_timeout_ms = 100; });
  Client header(server.started.port);
  header.send("GET /api/v1/vms HTTP/1.1\r\nHost:");
  EXPECT_TRUE(header.wait_for_close());
  Client body(server.started.port);
  body.send("POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{");
  EXPECT_TRUE(body.wait_for_close());
}

// Lets the manager keep its answer to itself, and gives it to the test.
std::future<port::Manager::Answer> hold_answer(FakeManager& manager) {
  const auto held = std::make_shared<std::promise<port::Manager::Answer>>();
  manager.override_answer([held](const FakeManager::Call&, const port::Manager::Answer& done) {
    held->set_value(done);
    return true;
  });
  return held->get_future();
}

TEST(Http, AnswersWhenTheManagerDoesNot) {
  TestServer server([](ApiServerOptions& options) { options.answer_timeout_ms = 50; });
  auto held = hold_answer(server.manager);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms/web").status, 504);
  held.get()(FakeManager::sample("GetVm", false));
  server.manager.override_answer(nullptr);
  EXPECT_EQ(server.ask("GET", "/api/v1/vms/web").status, 200);
}

TEST(Http, LateAnswersAfterTheEndAreHarmless) {
  port::Manager::Answer late;
  {
    TestServer server([](ApiServerOptions& options) { options.shutdown_ms = 50; });
    auto held = hold_answer(server.manager);
    Client client(server.started.port);
    client.send(std::string("GET /api/v1/vms/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ") + kLocalToken +
                "\r\n\r\n");
    late = held.get();
  }
  late(FakeManager::sample("GetVm", false));
}

TEST(Certificate, IsMadeOnceForLoopbackAndTheAddresses) {
  TestServer server;
  struct stat facts {};
  ASSERT_EQ(::stat(server.options.key_path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  Client client(server.started.port);
  X509* certificate = client.certificate();
  ASSERT_NE(certificate, nullptr);
  EXPECT_EQ(X509_check_host(certificate, "localhost", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate, "::1", 0), 1);
  EXPECT_EQ(X509_check_host(certificate, "example.org", 0, 0, nullptr), 0);
  const auto before = runtime::read_file(server.options.certificate_path);
  ASSERT_TRUE(ensure_certificate({server.options.certificate_path, server.options.key_path}, {}));
  EXPECT_EQ(runtime::read_file(server.options.certificate_path).value(), before.value());
}

// What the kernel says in another way: each address of the machine that is not of the loopback or of one link alone.
std::set<std::string> machine_addresses() {
  std::set<std::string> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    std::array<char, NI_MAXHOST> text{};
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET ||
        ::getnameinfo(one->ifa_addr, sizeof(sockaddr_in), text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) {
      continue;
    }
    if (std::string(text.data()).rfind("127.", 0) != 0) found.insert(text.data());
  }
  ::freeifaddrs(list);
  return found;
}

TEST(Certificate, NamesTheMachineWhenAllItsAddressesAreListenedOn) {
  TestServer server([](ApiServerOptions& options) { options.addresses = {"0.0.0.0"}; });
  Client client(server.started.port, true, 0, "127.0.0.2");
  ASSERT_TRUE(client.connected());
  EXPECT_EQ(client.ask("GET", "/api/v1/version").status, 200);
  X509* certificate = client.certificate();
  ASSERT_NE(certificate, nullptr);
  std::array<char, 256> host{};
  ASSERT_EQ(::gethostname(host.data(), host.size() - 1), 0);
  EXPECT_EQ(X509_check_host(certificate, host.data(), 0, 0, nullptr), 1) << host.data();
  for (const std::string& address : machine_addresses()) {
    EXPECT_EQ(X509_check_ip_asc(certificate, address.c_str(), 0), 1) << address;
  }
}

TEST(Certificate, OfItsOwnIsMadeAnewForAnotherAddress) {
  const TestServer server;
  const TlsPaths paths{server.options.certificate_path, server.options.key_path};
  const std::string first = runtime::read_file(paths.certificate).value();
  const std::string key = runtime::read_file(paths.key).value();
  ASSERT_TRUE(ensure_certificate(paths, {"127.0.0.1", "192.0.2.7"}));
  const std::string second = runtime::read_file(paths.certificate).value();
  EXPECT_NE(second, first);
  EXPECT_EQ(runtime::read_file(paths.key).value(), key);
  // Neither for an address less nor at each start.
  ASSERT_TRUE(ensure_certificate(paths, {"127.0.0.1", "192.0.2.7"}));
  ASSERT_TRUE(ensure_certificate(paths, {"127.0.0.1"}));
  EXPECT_EQ(runtime::read_file(paths.certificate).value(), second);
  TlsIdentity identity(paths);
  EXPECT_TRUE(identity.load());
}

// Signed by itself, too, but in another name; it names no address at all.
bool write_foreign_certificate(const TlsPaths& paths) {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"),
                                                           EVP_PKEY_free);
  const std::unique_ptr<X509, void (*)(X509*)> made(X509_new(), X509_free);
  const std::unique_ptr<BIO, int (*)(BIO*)> certificate(BIO_new_file(paths.certificate.c_str(), "w"), BIO_free);
  const std::unique_ptr<BIO, int (*)(BIO*)> key_file(BIO_new_file(paths.key.c_str(), "w"), BIO_free);
  const std::string name = "lab";
  X509_NAME* subject = X509_get_subject_name(made.get());
  return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.data()),
                                    static_cast<int>(name.size()), -1, 0) == 1 &&
         X509_set_issuer_name(made.get(), subject) == 1 && X509_set_pubkey(made.get(), key.get()) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(made.get()), 0) != nullptr &&
         X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600) != nullptr &&
         X509_sign(made.get(), key.get(), EVP_sha256()) > 0 && PEM_write_bio_X509(certificate.get(), made.get()) == 1 &&
         PEM_write_bio_PKCS8PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1;
}

TEST(Certificate, OfSomebodyElseStays) {
  const TestServer server;
  const TlsPaths paths{server.directory / "theirs.crt", server.directory / "theirs.key"};
  ASSERT_TRUE(write_foreign_certificate(paths));
  const std::string theirs = runtime::read_file(paths.certificate).value();
  ASSERT_TRUE(ensure_certificate(paths, {"192.0.2.7"}));
  EXPECT_EQ(runtime::read_file(paths.certificate).value(), theirs);
}

TEST(Certificate, IsTakenAnewWhenItsFilesChange) {
  TestServer server([](ApiServerOptions& options) {
    // Each look at the clock is two seconds later, so that every connection looks at the files.
    options.now = [count = std::make_shared<std::atomic<Milliseconds>>(0)] {
      return Now{*count += 2000, 1'700'000'000'000};
    };
  });
  const auto certificate_now = [&] {
    const Client client(server.started.port);
    unsigned char* der = nullptr;
    const int size = i2d_X509(client.certificate(), &der);
    std::string text(reinterpret_cast<char*>(der), static_cast<std::size_t>(std::max(size, 0)));
    OPENSSL_free(der);
    return text;
  };
  const std::string before = certificate_now();
  EXPECT_EQ(before, certificate_now());
  const std::string other = server.directory / "other";
  ASSERT_TRUE(ensure_certificate({other + ".crt", other + ".key"}, {"192.0.2.1"}));
  // Half a change keeps the old one.
  std::filesystem::rename(other + ".key", server.options.key_path);
  EXPECT_EQ(before, certificate_now());
  std::filesystem::rename(other + ".crt", server.options.certificate_path);
  EXPECT_NE(before, certificate_now());
}

TEST(Certificate, OldTlsIsRefused) {
  TestServer server;
  EXPECT_FALSE(Client(server.started.port, true, TLS1_1_VERSION).connected());
  EXPECT_TRUE(Client(server.started.port, true, TLS1_2_VERSION).connected());
}

TEST(Server, SaysWhyItCannotListen) {
  TestServer server;
  ApiServerOptions options = server.options;
  options.port = server.started.port;
  ApiServer second(options, server.manager, server.store, server.console);
  const auto started = second.start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().summary.find("127.0.0.1"), std::string::npos);
}

}  // namespace
}  // namespace gantry::server::testing
