// The link over real gRPC on the loopback: joining, being refused, being cut off, coming back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "link/test_cluster.h"

namespace gantry::link {
namespace {

using testing::HasSubstr;

v1::FromHost hello(const std::string& claimed_id) {
  v1::FromHost message;
  message.set_host_id(claimed_id);
  message.set_hello(true);
  return message;
}

TEST(GrpcLink, AMachineJoinsConnectsAndBothSpeak) {
  TestManager manager;
  const auto credentials = join(manager, "secret");
  ASSERT_TRUE(credentials) << credentials.error().to_text();
  TestHost host(*credentials);
  ASSERT_TRUE(eventually([&] { return host.connected && manager.is_connected(credentials->host_id); }))
      << host.logged();
  host.send(hello("host-00000000some"));
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(manager.mutex);
    return manager.came.size() == 1;
  }));
  EXPECT_EQ(manager.came[0].host_id(), credentials->host_id) << "who it is, the certificate says";
  v1::ToHost message;
  message.set_sequence(7);
  manager.send(credentials->host_id, message);
  ASSERT_TRUE(eventually([&] { return host.received() == 1; }));
  EXPECT_EQ(host.came[0].sequence(), 7U);
}

TEST(GrpcLink, ATokenServesOnceAndAWrongOneNever) {
  TestManager manager;
  const auto token = manager.token("secret");
  const JoinWish wish{.host_name = "beta", .pool_path = "/pool", .taken_subnets = {}};
  ASSERT_TRUE(join_cluster(token, wish));
  const auto again = join_cluster(token, wish);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().word(), "token_unknown");
  auto wrong = manager.token("another");
  wrong.set_secret("guessed");
  EXPECT_FALSE(join_cluster(wrong, wish));
  EXPECT_EQ(manager.members.size(), 1U);
}

// Somebody else who answers at the manager's address is told neither the secret nor the key.
TEST(GrpcLink, AnotherManagerIsNotTrusted) {
  TestManager manager;
  TestManager impostor;
  auto token = manager.token("secret");
  token.set_addresses(0, impostor.token("secret").addresses(0));
  const auto joined = join_cluster(token, {.host_name = "beta", .pool_path = "/pool", .taken_subnets = {}});
  ASSERT_FALSE(joined);
  EXPECT_EQ(joined.error().word(), "wrong_manager");
  EXPECT_TRUE(impostor.members.empty());
}

TEST(GrpcLink, OneOfTheAddressesIsEnough) {
  TestManager manager;
  auto token = manager.token("secret");
  const std::string good = token.addresses(0);
  token.set_addresses(0, "127.0.0.1:1");
  token.add_addresses(good);
  const auto credentials = join_cluster(token, {.host_name = "beta", .pool_path = "/pool", .taken_subnets = {}});
  ASSERT_TRUE(credentials) << credentials.error().to_text();
  TestHost host(*credentials);
  EXPECT_TRUE(eventually([&] { return host.connected.load(); })) << host.logged();
}

TEST(GrpcLink, WithoutACertificateThereIsNothingButJoining) {
  TestManager manager;
  auto credentials = join(manager, "secret");
  ASSERT_TRUE(credentials);
  credentials->own = {};
  TestHost host(*credentials);
  EXPECT_TRUE(eventually([&] { return host.logged().find("this needs a certificate") != std::string::npos; }))
      << host.logged();
  EXPECT_FALSE(manager.is_connected(credentials->host_id));
}

TEST(GrpcLink, ACertificateOfAnotherAuthorityIsRefused) {
  TestManager manager;
  TestManager other;
  auto credentials = join(manager, "secret");
  const auto foreign = join(other, "secret");
  ASSERT_TRUE(credentials && foreign);
  ASSERT_EQ(credentials->host_id, foreign->host_id);
  credentials->own = foreign->own;
  TestHost host(*credentials);
  EXPECT_TRUE(eventually([&] { return !host.logged().empty(); }));
  EXPECT_FALSE(manager.is_connected(credentials->host_id));
  // And a host does not talk to a manager of another authority.
  auto lured = *foreign;
  lured.addresses = join(manager, "second")->addresses;
  TestHost deceived(lured);
  EXPECT_TRUE(eventually([&] { return !deceived.logged().empty(); }));
  EXPECT_FALSE(deceived.connected);
}

// A manager's certificate is of the right authority, and still no host's.
TEST(GrpcLink, AManagersCertificateIsNoHosts) {
  TestManager manager;
  auto credentials = join(manager, "secret");
  ASSERT_TRUE(credentials);
  const Milliseconds now_ms = runtime::real_now().unix_ms;
  credentials->own = make_manager_credentials(manager.authority, {now_ms, now_ms + 100'000}).value();
  TestHost host(*credentials);
  EXPECT_TRUE(eventually([&] { return !host.logged().empty(); }));
  EXPECT_EQ(manager.connections(), 0U);
}

TEST(GrpcLink, AnEndedCertificateIsRefused) {
  TestManager manager;
  auto credentials = join(manager, "secret");
  ASSERT_TRUE(credentials);
  const auto key = make_key_request().value();
  const Milliseconds now_ms = runtime::real_now().unix_ms;
  const Validity over{now_ms - 100'000, now_ms - 50'000};
  credentials->own = {sign_host(manager.authority, key.request_pem, credentials->host_id, over).value(), key.key_pem};
  TestHost host(*credentials);
  EXPECT_TRUE(eventually([&] { return host.logged().find("no connection to the manager") != std::string::npos; }));
  EXPECT_EQ(manager.connections(), 0U);
}

TEST(GrpcLink, AHostThatLeftIsCutOffAtOnceAndStaysOut) {
  TestManager manager;
  const auto credentials = join(manager, "secret");
  ASSERT_TRUE(credentials);
  TestHost host(*credentials);
  ASSERT_TRUE(eventually([&] { return host.connected.load(); }));
  manager.revoke(credentials->host_id);
  ASSERT_TRUE(eventually([&] { return !host.connected; }, 5'000));
  EXPECT_TRUE(eventually([&] { return host.logged().find("has left it") != std::string::npos; })) << host.logged();
  EXPECT_FALSE(manager.is_connected(credentials->host_id));
}

TEST(GrpcLink, ANewerConnectionOfAHostTakesThePlaceOfTheOther) {
  TestManager manager;
  const auto credentials = join(manager, "secret");
  ASSERT_TRUE(credentials);
  TestHost first(*credentials);
  ASSERT_TRUE(eventually([&] { return first.connected.load(); }));
  {
    TestHost second(*credentials);
    ASSERT_TRUE(eventually([&] { return second.connected.load(); }));
    ASSERT_TRUE(eventually([&] { return first.losses > 0; }));
  }
  EXPECT_TRUE(eventually([&] { return first.connected && manager.is_connected(credentials->host_id); }));
}

TEST(GrpcLink, AHostComesBackToAManagerThatStartsAgain) {
  const Credentials authority = test_authority();
  auto manager = std::make_unique<TestManager>(ManagerLinkOptions{}, authority);
  const std::uint16_t port = manager->port;
  const auto credentials = join(*manager, "secret");
  ASSERT_TRUE(credentials);
  TestHost host(*credentials);
  ASSERT_TRUE(eventually([&] { return host.connected.load(); }));
  manager.reset();
  ASSERT_TRUE(eventually([&] { return !host.connected; }));
  ManagerLinkOptions options;
  options.port = port;
  manager = std::make_unique<TestManager>(options, authority);
  {
    const std::lock_guard lock(manager->mutex);
    manager->members.insert(credentials->host_id);
  }
  EXPECT_TRUE(eventually([&] { return host.connected && manager->is_connected(credentials->host_id); }))
      << host.logged();
}

TEST(GrpcLink, CertificatesAreRenewedBeforeTheyEndWithoutAGap) {
  ManagerLinkOptions options;
  options.host_certificate_ms = 6'000;
  TestManager manager(options);
  const auto credentials = join(manager, "secret");
  ASSERT_TRUE(credentials);
  TestHost host(*credentials);
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(host.mutex);
    return host.renewals >= 2;
  })) << host.logged();
  EXPECT_TRUE(eventually([&] { return host.connected && manager.is_connected(credentials->host_id); }));
  EXPECT_NE(host.kept().own.certificate_pem, credentials->own.certificate_pem);
  EXPECT_NE(host.kept().own.key_pem, credentials->own.key_pem);
  EXPECT_EQ(manager.losses, 0);
}

// One that does not take part in renewing is cut off when its certificate ends, though its stream was open before.
TEST(GrpcLink, AStreamDoesNotOutliveItsCertificate) {
  TestManager manager;
  auto credentials = join(manager, "secret");
  ASSERT_TRUE(credentials);
  const auto key = make_key_request().value();
  const Milliseconds now_ms = runtime::real_now().unix_ms;
  // Begins so late that the host sees no need to renew yet.
  const Validity brief{now_ms + 3'000'000, now_ms + 4'000};
  credentials->own = {sign_host(manager.authority, key.request_pem, credentials->host_id, brief).value(), key.key_pem};
  TestHost host(*credentials);
  if (!eventually([&] { return host.connected.load(); }, 3'000)) GTEST_SKIP() << "the machine is too busy for this";
  EXPECT_TRUE(eventually(
      [&] {
        manager.send(credentials->host_id, v1::ToHost());
        return !manager.is_connected(credentials->host_id);
      },
      20'000));
}

// What waits for a host that does not read is never more than there is to say.
TEST(GrpcLink, ASlowHostGetsTheNewest) {
  TestManager manager;
  const auto credentials = join(manager, "secret");
  ASSERT_TRUE(credentials);
  TestHost host(*credentials);
  ASSERT_TRUE(eventually([&] { return host.connected.load(); }));
  std::promise<void> wake;
  host.thread.loop.post([slept = wake.get_future().share()] { slept.wait(); });
  constexpr std::uint64_t kMessages = 2'000;
  manager.thread.run([&] {
    for (std::uint64_t n = 1; n <= kMessages; ++n) {
      v1::ToHost message;
      message.set_sequence(n);
      v1::Vm& vm = *message.add_assignments()->mutable_vm();
      vm.mutable_meta()->set_id("vm-a");
      vm.mutable_meta()->set_generation(n);
      vm.mutable_spec()->mutable_cloud_init()->set_user_data(std::string(20'000, 'x'));
      manager.link->send(credentials->host_id, message);
    }
  });
  wake.set_value();
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(host.mutex);
    return !host.came.empty() && host.came.back().sequence() == kMessages;
  }));
  EXPECT_LT(host.received(), kMessages / 2);
}

// One host that talks without end does not keep the manager from hearing others.
TEST(GrpcLink, AFloodIsReadSlowly) {
  TestManager manager;
  const auto loud = join(manager, "one");
  const auto quiet = join(manager, "two");
  ASSERT_TRUE(loud && quiet);
  TestHost flooding(*loud);
  TestHost other(*quiet);
  ASSERT_TRUE(eventually([&] { return flooding.connected && other.connected; }));
  std::thread flood([&] {
    for (int i = 0; i < 2'000; ++i) {
      v1::FromHost message;
      message.add_observations()->set_id(std::string(100'000, 'x'));
      flooding.send(message);
    }
  });
  other.send(hello(""));
  EXPECT_TRUE(eventually(
      [&] {
        const std::lock_guard lock(manager.mutex);
        return std::any_of(manager.came.begin(), manager.came.end(),
                           [&](const v1::FromHost& message) { return message.host_id() == quiet->host_id; });
      },
      10'000));
  flood.join();
  const std::lock_guard lock(manager.mutex);
  EXPECT_LT(manager.came.size(), 200U);
}

// Who breaks the connection again and again is not heard more.
TEST(GrpcLink, AFloodOfConnectionsIsAFloodToo) {
  TestManager manager;
  const auto credentials = join(manager, "secret");
  ASSERT_TRUE(credentials);
  const Milliseconds begun_ms = runtime::real_now().monotonic_ms;
  Milliseconds admitted = 0;
  for (int i = 0; i < 40; ++i) {
    TestHost host(*credentials);
    ASSERT_TRUE(eventually([&] { return host.connected || !host.logged().empty(); }));
    if (host.connected) ++admitted;
  }
  EXPECT_GE(admitted, 10);
  // Ten at once, and two more a second.
  EXPECT_LE(admitted, 12 + (runtime::real_now().monotonic_ms - begun_ms) / 500);
  TestHost patient(*credentials);
  EXPECT_TRUE(eventually([&] { return patient.connected.load(); })) << patient.logged();
}

// Nobody has to be a host to ask for that.
TEST(GrpcLink, WhatIsTooLongToJoinIsRefusedUnread) {
  TestManager manager;
  auto token = manager.token("secret");
  const JoinWish wish{.host_name = "beta", .pool_path = "/pool", .taken_subnets = std::vector<std::string>(40'000)};
  const auto refused = join_cluster(token, wish);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().cause, HasSubstr("too long"));
  token.set_secret(std::string(1'000, 'x'));
  EXPECT_FALSE(join_cluster(token, {.host_name = "beta", .pool_path = "/pool", .taken_subnets = {}}));
  EXPECT_TRUE(manager.members.empty());
  EXPECT_TRUE(join(manager, "other")) << "and the manager serves on";
}

TEST(GrpcLink, AHundredMachinesJoinAtOnce) {
  constexpr int kHosts = 100;
  TestManager manager;
  std::vector<v1::JoinToken> tokens;
  for (int i = 0; i < kHosts; ++i) tokens.push_back(manager.token("secret" + std::to_string(i)));
  std::atomic<int> joined = 0;
  std::mutex mutex;
  std::vector<HostCredentials> credentials;
  std::vector<std::thread> threads;
  for (int i = 0; i < kHosts; ++i) {
    threads.emplace_back([&, i] {
      auto answer = join_cluster(tokens[static_cast<std::size_t>(i)],
                                 {.host_name = "beta", .pool_path = "/pool", .taken_subnets = {}, .step_ms = 60'000});
      if (!answer) return;
      ++joined;
      const std::lock_guard lock(mutex);
      credentials.push_back(std::move(*answer));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(joined, kHosts);
  std::vector<std::unique_ptr<TestHost>> hosts;
  for (const auto& each : credentials) hosts.push_back(std::make_unique<TestHost>(each));
  EXPECT_TRUE(eventually([&] { return manager.connections() == kHosts; }));
}

TEST(GrpcLink, APortThatIsTakenIsTold) {
  TestManager manager;
  LoopThread thread;
  LocalLink local(thread.loop);
  GrpcManagerLink second(thread.loop, local.manager_end());
  ManagerLinkOptions options;
  options.port = manager.port;
  const auto listening = second.listen(manager.authority, options, {});
  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().code, ErrorCode::unavailable);
}

TEST(GrpcLink, WhatIsNoManagerIsTold) {
  TestManager manager;
  auto token = manager.token("secret");
  token.set_addresses(0, "127.0.0.1:1");
  const auto joined = join_cluster(token, {.host_name = "beta", .pool_path = "/pool", .taken_subnets = {}});
  ASSERT_FALSE(joined);
  EXPECT_THAT(joined.error().summary, HasSubstr("127.0.0.1 port 1"));
}

TEST(GrpcLink, TheLocalHostIsServedBeside) {
  LoopThread thread;
  LocalLink local(thread.loop);
  GrpcManagerLink link(thread.loop, local.manager_end());
  std::atomic<int> at_host = 0;
  std::atomic<int> at_manager = 0;
  thread.run([&] {
    link.on_message([&](const v1::FromHost&) { ++at_manager; });
    link.on_connection([](const std::string&, bool) {});
    local.host_end().on_message([&](const v1::ToHost&) { ++at_host; });
    local.connect("host-000000000001");
    link.send("host-000000000001", v1::ToHost());
    link.send("host-000000000002", v1::ToHost());
    local.host_end().send(v1::FromHost());
  });
  EXPECT_TRUE(eventually([&] { return at_host == 1 && at_manager == 1; }));
}

}  // namespace
}  // namespace gantry::link
