// The suite of all stores: on one real etcd node, and on clusters of three that have just lost one.
#include "store/conformance.h"
#include "store/etcd_store.h"
#include "store/etcd_test_store.h"

namespace gantry::store {
namespace {

enum class Loss {
  none,
  // Killed: the one in use.
  killed,
  // Cut off: another, perhaps etcd's own leader.
  cut_off,
};

class EtcdUnderTest final : public StoreUnderTest {
 public:
  EtcdUnderTest(int nodes, Loss loss) : cluster_({.nodes = nodes}), first_(loss == Loss::cut_off ? 1 : 0) {
    if (loss == Loss::killed) cluster_.kill(0);
    if (loss == Loss::cut_off) cluster_.cut_off(0);
    // Until they have a leader again, that others follow: a read may have been answered just before.
    const auto until = std::chrono::steady_clock::now() + kPatience;
    const port::Txn in_vain{.compares = {{"/nothing", 1}}, .writes = {{.key = "/nothing", .value = "x"}}};
    while (commit(*store_, in_vain).outcome != port::CommitOutcome::conflict &&
           std::chrono::steady_clock::now() < until) {
      continue;
    }
  }
  ~EtcdUnderTest() override = default;
  port::Store& store() override { return *store_; }
  // etcd has no clock that a test could move.
  void let_pass(Milliseconds time_ms) override { std::this_thread::sleep_for(std::chrono::milliseconds(time_ms)); }
  // An empty etcd is at revision 1.
  [[nodiscard]] bool begins_at_zero() const override { return false; }

 private:
  EtcdCluster cluster_;
  const int first_;
  std::unique_ptr<port::Store> store_ = must_open(patient_options(cluster_.endpoints(first_)));
};

StoreKind etcd_of(int nodes, Loss loss, const std::string& name) {
  return {name, [nodes, loss] { return std::make_unique<EtcdUnderTest>(nodes, loss); }};
}

INSTANTIATE_TEST_SUITE_P(Etcd, StoreConformance,
                         ::testing::Values(etcd_of(1, Loss::none, "etcd1"),
                                           etcd_of(3, Loss::killed, "etcd3_one_killed"),
                                           etcd_of(3, Loss::cut_off, "etcd3_one_cut_off")),
                         store_kind_name);

}  // namespace
}  // namespace gantry::store
