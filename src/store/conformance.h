// The suite that every store must pass. An adapter joins with one INSTANTIATE_TEST_SUITE_P of StoreConformance in its
// own test file (see memory_store_test.cc); the tests stand in conformance*_test.cc of the same program.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "port/store.h"
#include "store/test_support.h"

namespace gantry::store {

// A fresh, empty store and what it stands on.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual port::Store& store() = 0;
  // Lets at least this much time pass for leases: by moving a test clock, or by waiting where there is none.
  virtual void let_pass(Milliseconds time_ms) = 0;
  // Its first revision is 0 and it has all history from 1 (an etcd shared with others has not).
  [[nodiscard]] virtual bool begins_at_zero() const { return true; }
};

struct StoreKind {
  std::string name;
  std::function<std::unique_ptr<StoreUnderTest>()> make;

  // For the names of tests.
  friend void PrintTo(const StoreKind& kind, std::ostream* out) { *out << kind.name; }
};

class StoreConformance : public ::testing::TestWithParam<StoreKind> {
 protected:
  port::Store& store() { return under_test_->store(); }
  StoreUnderTest& under_test() { return *under_test_; }
  // Destroys it.
  void close() { under_test_.reset(); }

  port::Revision must_commit(port::Txn txn) {
    const port::CommitResult result = commit(store(), std::move(txn));
    EXPECT_EQ(result.outcome, port::CommitOutcome::committed) << result.detail;
    return result.revision;
  }
  port::Range must_range(port::RangeRequest request) {
    auto result = range(store(), std::move(request));
    EXPECT_TRUE(result.has_value());
    return result.value_or(port::Range{});
  }
  port::Revision present() { return must_range({"/nothing"}).revision; }

 private:
  std::unique_ptr<StoreUnderTest> under_test_ = GetParam().make();
};

inline std::string store_kind_name(const ::testing::TestParamInfo<StoreKind>& kind) { return kind.param.name; }

}  // namespace gantry::store
