// The contract of port/store.h: leases.
#include "store/conformance.h"

namespace gantry::store {

using port::StoreError;

TEST_P(StoreConformance, AnEndedLeaseErasesItsKeysInOneCommit) {
  const port::LeaseId lease = grant(store(), 5000).value();
  ASSERT_NE(lease, 0U);
  const port::Revision written = must_commit({{}, {put("/a", "1", lease), put("/b", "2", lease), put("/c", "3")}});
  EXPECT_EQ(must_range({"/a"}).entries.at(0).lease, lease);
  WatchLog log(store(), "/", written + 1);
  under_test().let_pass(6000);
  ASSERT_TRUE(log.wait_for_revision(written + 1));
  ASSERT_EQ(log.batches().size(), 1U);
  EXPECT_EQ(log.batches()[0].changes.size(), 2U);
  const port::Range left = must_range({"/"});
  ASSERT_EQ(left.entries.size(), 1U);
  EXPECT_EQ(left.entries[0].key, "/c");
  EXPECT_EQ(keep_alive(store(), lease).error(), StoreError::no_such_lease);
}

TEST_P(StoreConformance, ALeaseKeptAliveStays) {
  const port::LeaseId kept = grant(store(), 8000).value();
  const port::LeaseId left = grant(store(), 8000).value();
  const port::Revision written = must_commit({{}, {put("/kept", "", kept), put("/left", "", left)}});
  WatchLog log(store(), "/left", written + 1);
  under_test().let_pass(5000);
  EXPECT_EQ(keep_alive(store(), kept).value(), kept);
  under_test().let_pass(5000);
  ASSERT_TRUE(log.wait_for_revision(written + 1));
  EXPECT_EQ(must_range({"/"}).entries.size(), 1U);
  EXPECT_EQ(keep_alive(store(), kept).value(), kept);
}

TEST_P(StoreConformance, ARevokedLeaseErasesItsKeysAtOnce) {
  const port::LeaseId lease = grant(store(), 3'600'000).value();
  const port::Revision written = must_commit({{}, {put("/a", "1", lease), put("/b", "1", lease)}});
  EXPECT_EQ(revoke(store(), lease).value(), lease);
  EXPECT_TRUE(must_range({"/"}).entries.empty());
  EXPECT_EQ(present(), written + 1);
  EXPECT_EQ(revoke(store(), lease).error(), StoreError::no_such_lease);
  EXPECT_EQ(keep_alive(store(), lease).error(), StoreError::no_such_lease);
  EXPECT_EQ(commit(store(), {{}, {put("/a", "1", lease)}}).outcome, port::CommitOutcome::unavailable);
}

TEST_P(StoreConformance, ALeaseWithoutKeysEndsWithoutARevision) {
  const port::Revision before = present();
  const port::LeaseId lease = grant(store(), 3'600'000).value();
  EXPECT_TRUE(revoke(store(), lease).has_value());
  EXPECT_EQ(present(), before);
}

TEST_P(StoreConformance, TheLastWriteSaysWhichLeaseAKeyHas) {
  const port::LeaseId first = grant(store(), 3'600'000).value();
  const port::LeaseId second = grant(store(), 3'600'000).value();
  EXPECT_NE(first, second);
  must_commit({{}, {put("/moved", "", first), put("/freed", "", first), put("/erased", "", first)}});
  must_commit({{}, {put("/moved", "", second), put("/freed", ""), erase("/erased")}});
  must_commit({{}, {put("/erased", "again")}});
  EXPECT_TRUE(revoke(store(), first).has_value());
  EXPECT_EQ(must_range({"/"}).entries.size(), 3U);
  EXPECT_TRUE(revoke(store(), second).has_value());
  EXPECT_EQ(must_range({"/"}).entries.size(), 2U);
}

TEST_P(StoreConformance, AnUnknownLeaseIsSaidToBeSo) {
  EXPECT_EQ(keep_alive(store(), 4711).error(), StoreError::no_such_lease);
  EXPECT_EQ(revoke(store(), 4711).error(), StoreError::no_such_lease);
  EXPECT_EQ(grant(store(), 0).error(), StoreError::invalid);
}

}  // namespace gantry::store
