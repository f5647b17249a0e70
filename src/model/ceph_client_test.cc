#include "model/ceph_client.h"

#include <gtest/gtest.h>

namespace gantry::model {
namespace {

constexpr char kKey[] = "AQBTJcdlAAAAABAAGqKeB1pzxnBIr3lUcUyRtg==";

v1::RbdPool pool() {
  v1::RbdPool pool;
  pool.set_pool("vms");
  pool.set_user("gantry");
  pool.set_key(kKey);
  for (const char* monitor : {"10.0.0.1", "10.0.0.2:6789", "fd00::1", "[fd00::2]:3300"}) pool.add_monitors(monitor);
  return pool;
}

TEST(CephClient, MonitorsAreAddressesWithOrWithoutAPort) {
  EXPECT_EQ(parse_ceph_monitor("10.0.0.1"), (CephMonitor{"10.0.0.1", 0}));
  EXPECT_EQ(parse_ceph_monitor("10.0.0.1:6789"), (CephMonitor{"10.0.0.1", 6789}));
  EXPECT_EQ(parse_ceph_monitor("fd00::1"), (CephMonitor{"fd00::1", 0}));
  EXPECT_EQ(parse_ceph_monitor("[fd00::1]"), (CephMonitor{"fd00::1", 0}));
  EXPECT_EQ(parse_ceph_monitor("[fd00::1]:3300"), (CephMonitor{"fd00::1", 3300}));
  for (const char* text :
       {"", "ceph", "10.0.0", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:x", "[10.0.0.1]:1", "[fd00::1",
        "[fd00::1]3300", "10.0.0.1,10.0.0.2", "10.0.0.1 ", "10.0.0.1\nkeyring=/x", "[]", "[::1]:1 "}) {
    EXPECT_FALSE(parse_ceph_monitor(text)) << text;
  }
}

TEST(CephClient, WhatIsWrittenNamesTheMonitorsAndTheKeyRing) {
  const std::string text = ceph_configuration(pool(), "/var/lib/gantry/ceph/pool-1.keyring");
  EXPECT_NE(text.find("mon_host = 10.0.0.1,10.0.0.2:6789,[fd00::1],[fd00::2]:3300\n"), std::string::npos) << text;
  EXPECT_NE(text.find("keyring = /var/lib/gantry/ceph/pool-1.keyring\n"), std::string::npos) << text;
  EXPECT_NE(text.find("rados_osd_op_timeout = "), std::string::npos) << text;
  EXPECT_EQ(text.find(kKey), std::string::npos) << text;
  const std::vector<CephMonitor> monitors = {{"10.0.0.1", 0}, {"10.0.0.2", 6789}, {"fd00::1", 0}, {"fd00::2", 3300}};
  EXPECT_EQ(monitors_in(text), monitors);
  EXPECT_EQ(monitors_in("[global]\nkeyring = /x\n"), std::vector<CephMonitor>());
}

TEST(CephClient, AKeyIsFoundAloneOrInTheKeyRingOfItsUser) {
  EXPECT_EQ(find_ceph_key(ceph_key_ring(pool()), "gantry"), kKey);
  EXPECT_EQ(find_ceph_key(std::string(kKey) + "\n", "whoever"), kKey);
  const std::string kOther = "AQDmJcdlAAAAABAAFgCeB1pzxnBIr3lUcUyRtg==";
  const std::string both = "[client.admin]\n\tkey = " + kOther + "\n\tcaps mon = \"allow *\"\n" + ceph_key_ring(pool());
  EXPECT_EQ(find_ceph_key(both, "gantry"), kKey);
  EXPECT_EQ(find_ceph_key(both, "admin"), kOther);
  EXPECT_FALSE(find_ceph_key(both, "other"));
  EXPECT_FALSE(find_ceph_key("", "gantry"));
  EXPECT_FALSE(find_ceph_key("[client.gantry]\nkey = no key\n", "gantry"));
}

TEST(CephClient, AKeyIsWhatCephMakes) {
  EXPECT_TRUE(is_ceph_key(kKey));
  // No base64, another kind than AES, and a secret that is cut.
  for (const char* text : {"", "AAA", "AA=A", "A===", "AAAA", "AQBTJcdlAAAAABAAGqKeB1pzxnBIr3lUcUyRtg==\n",
                           "BQBTJcdlAAAAABAAGqKeB1pzxnBIr3lUcUyRtg==", "AQBTJcdlAAAAABAAGqKeB1pzxnBI"}) {
    EXPECT_FALSE(is_ceph_key(text)) << text;
  }
}

}  // namespace
}  // namespace gantry::model
