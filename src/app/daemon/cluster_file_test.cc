#include "app/daemon/cluster_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "link/authority.h"

namespace gantry::app {
namespace {

class ClusterFileTest : public testing::Test {
 protected:
  ClusterFileTest() {
    char pattern[] = "/tmp/gantry-cluster-XXXXXX";
    directory_ = ::mkdtemp(pattern);
  }
  ~ClusterFileTest() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
};

TEST_F(ClusterFileTest, WhatWasKeptIsReadForRootAlone) {
  const auto none = read_cluster(directory_);
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->has_value());
  link::HostCredentials credentials;
  credentials.host_id = "host-000000000001";
  credentials.host_name = "beta";
  credentials.addresses = {"192.0.2.1:8444", "[2001:db8::1]:8444"};
  const auto authority = link::make_authority({1'000'000'000'000, 3'000'000'000'000}).value();
  const auto key = link::make_key_request().value();
  credentials.authority_pem = authority.certificate_pem;
  credentials.own = {
      link::sign_host(authority, key.request_pem, credentials.host_id, {1'000'000'000'000, 3'000'000'000'000}).value(),
      key.key_pem};
  ASSERT_TRUE(write_cluster(directory_, credentials));
  struct stat facts {};
  ASSERT_EQ(::stat(cluster_path(directory_).c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
  const auto kept = read_cluster(directory_);
  ASSERT_TRUE(kept && kept->has_value());
  EXPECT_EQ((*kept)->host_id, credentials.host_id);
  EXPECT_EQ((*kept)->host_name, "beta");
  EXPECT_EQ((*kept)->addresses, credentials.addresses);
  EXPECT_EQ((*kept)->authority_pem, credentials.authority_pem);
  EXPECT_EQ((*kept)->own.certificate_pem, credentials.own.certificate_pem);
  EXPECT_EQ((*kept)->own.key_pem, credentials.own.key_pem);
  // A key of which the end is missing.
  credentials.own.key_pem.resize(100);
  ASSERT_TRUE(write_cluster(directory_, credentials));
  const auto damaged = read_cluster(directory_);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::corrupt);
}

TEST_F(ClusterFileTest, ADamagedOneIsToldAndNeverTakenForNone) {
  for (const char* text :
       {"", "{", "[]", "{}", "null", R"({"hostId": 1})",
        R"({"hostId":"x","hostName":"b","addresses":["a:1"],"authority":"","certificate":"","key":""})",
        R"({"hostId":"host-000000000001","hostName":"b","addresses":[],"authority":"","certificate":"","key":""})"}) {
    std::ofstream(cluster_path(directory_)) << text;
    const auto read = read_cluster(directory_);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, ErrorCode::corrupt);
  }
}

}  // namespace
}  // namespace gantry::app
