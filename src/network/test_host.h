// A host of its own for each test: a namespace, a state directory and a driver.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <memory>

#include "network/driver.h"
#include "network/names.h"
#include "network/test_namespace.h"
#include "network/test_records.h"

namespace gantry::network {

class OnHost : public testing::Test {
 protected:
  void SetUp() override {
    enter_new_namespace();
    std::string pattern = testing::TempDir() + "gantry-network-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory = pattern;
    std::filesystem::permissions(directory, std::filesystem::perms(0755));
    restart();
  }
  // The processes outlive namespaces and drivers.
  void TearDown() override {
    for (const char* id : {"net-4f7k2m9qzt3x", "net-000000000002"}) {
      NatPlan plan;
      plan.network_id = id;
      EXPECT_TRUE(Dnsmasq(plan, directory + "/state/networks/" + id, "").destroy());
    }
    std::filesystem::remove_all(directory);
  }

  // As another daemon with the same state.
  void restart() { driver = std::make_unique<Driver>(directory + "/state", DriverOptions{true, resolv_file}); }

  port::NetworkFacts must_ensure(const v1::Network& network) {
    const auto facts = driver->ensure_network(network);
    EXPECT_TRUE(facts) << facts.error().to_text();
    return facts.value_or(port::NetworkFacts{});
  }
  port::GuestNic must_attach(const port::NicRequest& request) {
    const auto nic = driver->attach(request);
    EXPECT_TRUE(nic) << nic.error().to_text();
    return nic.value_or(port::GuestNic{});
  }
  // A guest with its address already set.
  std::unique_ptr<Guest> make_guest(const port::NicRequest& request) {
    const auto nic = must_attach(request);
    auto guest = std::make_unique<Guest>(nic.tap, nic.mac);
    const std::string gateway = nic.ipv4.substr(0, nic.ipv4.rfind('.')) + ".1";
    guest->set_address(nic.ipv4, gateway);
    return guest;
  }
  [[nodiscard]] std::string ruleset() const { return must_run({"nft", "list", "ruleset"}); }
  [[nodiscard]] std::string dnsmasq_pid(const std::string& id = "net-4f7k2m9qzt3x") const {
    return must_run({"cat", directory + "/state/networks/" + id + "/dnsmasq.pid"});
  }

  std::string directory;
  std::string resolv_file;
  std::unique_ptr<Driver> driver;
};

}  // namespace gantry::network
