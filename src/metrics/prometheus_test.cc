#include "metrics/prometheus.h"

#include <gmock/gmock.h>

namespace gantry::metrics {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Prometheus, EachMeasurementIsALineUnderItsName) {
  Scrape scrape;
  v1::TopEntry& vm = *scrape.top.add_vms();
  vm.set_name("web");
  vm.set_host("alpha");
  vm.mutable_sample()->mutable_vm()->set_cpu_percent(12.5);
  vm.mutable_sample()->mutable_vm()->set_disk_reads_per_second(0);
  v1::TopEntry& host = *scrape.top.add_hosts();
  host.set_name("alpha");
  host.mutable_sample()->mutable_host()->set_memory_used_bytes(4'294'967'296);
  const std::string text = prometheus_text(scrape);
  EXPECT_THAT(text, HasSubstr("\n# TYPE gantry_vm_cpu_percent gauge\n"
                              "gantry_vm_cpu_percent{vm=\"web\",host=\"alpha\"} 12.5\n"));
  EXPECT_THAT(text, HasSubstr("\ngantry_vm_disk_reads_per_second{vm=\"web\",host=\"alpha\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\ngantry_host_memory_used_bytes{host=\"alpha\"} 4294967296\n"));
  EXPECT_THAT(text, Not(HasSubstr("gantry_vm_memory_used_bytes{"))) << "was not measured";
}

TEST(Prometheus, StatesAndPoolsAreCounted) {
  Scrape scrape{
      .version = "1.2", .top = {}, .vms = {{"RUNNING", 3}}, .tasks = {{"FAILED", 1}}, .hosts = {}, .pools = {}};
  scrape.hosts["beta"] = false;
  v1::Pool& pool = scrape.pools.emplace_back();
  pool.mutable_meta()->set_name("default");
  pool.mutable_status()->set_state(v1::PoolStatus::READY);
  pool.mutable_status()->set_capacity_bytes(1'000);
  scrape.pools.emplace_back().mutable_meta()->set_name("unknown");
  const std::string text = prometheus_text(scrape);
  EXPECT_THAT(text, HasSubstr("\ngantry_build_info{version=\"1.2\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\ngantry_vms{state=\"RUNNING\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("\ngantry_tasks{state=\"FAILED\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\ngantry_host_connected{host=\"beta\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\ngantry_pool_capacity_bytes{pool=\"default\"} 1000\n"));
  EXPECT_THAT(text, Not(HasSubstr("pool=\"unknown\"")));
}

TEST(Prometheus, NoNameEndsALabelBeforeItsTime) {
  Scrape scrape;
  scrape.version = "a\"b\\c\nd";
  EXPECT_THAT(prometheus_text(scrape), HasSubstr("{version=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

}  // namespace
}  // namespace gantry::metrics
