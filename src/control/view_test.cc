// The indexes say what the records say, however the records came.
#include "control/view.h"

#include <gtest/gtest.h>

#include "control/test_world.h"
#include "model/uid.h"

namespace gantry::control {
namespace {

TEST(View, FollowingChangesIsTheSameAsReadingAnew) {
  World world;
  world.host.address = "192.0.2.9";
  world.host.connect();
  v1::CreateNetworkRequest vlan;
  vlan.set_name("everywhere");
  vlan.mutable_spec()->set_kind(v1::NetworkSpec::VLAN);
  vlan.mutable_spec()->set_vlan(7);
  vlan.mutable_spec()->set_uplink("eno1");
  world.accept("CreateNetwork", vlan);
  world.make_image();
  for (const char* name : {"a", "b", "c"}) {
    v1::CreateVmRequest request = World::vm_request(name);
    request.mutable_spec()->add_nics()->add_port_forwards()->set_guest_port(22);
    ASSERT_EQ(world.ended(world.accept("CreateVm", request)).state(), v1::Task::SUCCEEDED);
  }
  const std::string deleted = world.vm("b").meta().id();
  v1::DeleteVmRequest remove;
  remove.set_id("b");
  ASSERT_EQ(world.ended(world.accept("DeleteVm", remove)).state(), v1::Task::SUCCEEDED);
  v1::StopVmRequest stop;
  stop.set_id("c");
  ASSERT_EQ(world.ended(world.accept("StopVm", stop)).state(), v1::Task::SUCCEEDED);

  port::Range range{.entries = {}, .revision = world.core->view().revision()};
  for (const auto& [key, entry] : world.store.entries()) range.entries.push_back(entry);
  View anew;
  View::Touched touched;
  anew.load(range, touched);
  const View& followed = world.core->view();
  EXPECT_EQ(followed.reserved_mib(kHostId), 1024U);
  EXPECT_EQ(anew.reserved_mib(kHostId), 1024U);
  EXPECT_EQ(anew.guests(kHostId), followed.guests(kHostId));
  const std::string pool_id = world.find<v1::Pool>("default")->meta().id();
  EXPECT_EQ(followed.promised_bytes(pool_id), 4ULL << 30U);
  EXPECT_EQ(anew.promised_bytes(pool_id), 4ULL << 30U);
  EXPECT_EQ(anew.tasks_by_time(), followed.tasks_by_time());
  EXPECT_EQ(anew.ended_tasks(), followed.ended_tasks());
  EXPECT_EQ(anew.admission_revision(), followed.admission_revision());
  for (const std::string& id : touched.records) EXPECT_EQ(anew.users_of(id), followed.users_of(id)) << id;
  for (const View* view : std::initializer_list<const View*>{&anew, &followed}) {
    EXPECT_TRUE(view->has_port(kHostId, v1::PortForward::TCP, 20'000));
    EXPECT_FALSE(view->has_port(kHostId, v1::PortForward::TCP, 20'001)) << "of the deleted VM";
    EXPECT_TRUE(view->has_port(kHostId, v1::PortForward::TCP, 20'002));
    EXPECT_FALSE(view->has_address(world.find<v1::Network>("default")->meta().id(), "10.66.0.3"));
    EXPECT_TRUE(view->has_mac(world.vm("a").spec().nics(0).mac()));
    EXPECT_TRUE(view->has_uid(model::guest_uid(world.vm("a").meta().id())));
    EXPECT_TRUE(view->has_uid(model::guest_uid(world.find<v1::Image>("debian-12")->meta().id())));
    EXPECT_FALSE(view->has_uid(model::guest_uid(deleted))) << "of the deleted VM";
    EXPECT_EQ(view->hosts_at("192.0.2.9"), 1);
    EXPECT_EQ(view->gateways_at("10.66.0.1"), 1);
    const View::Ids left = {world.vm("a").meta().id(), world.vm("c").meta().id()};
    EXPECT_EQ(view->nics_in(world.find<v1::Network>("default")->meta().id()), (View::VmsByHost{{kHostId, left}}));
    EXPECT_EQ(view->segments(), std::vector<std::string>{world.find<v1::Network>("everywhere")->meta().id()});
  }
}

TEST(View, ARecordThatCannotBeReadDoesNotVanish) {
  View view;
  View::Touched touched;
  view.apply({.revision = 3,
              .changes = {{.kind = port::Write::Kind::put,
                           .entry = {.key = "/vm/vm-1", .value = "\xff\xff", .created = 3, .modified = 3}}}},
             touched);
  ASSERT_NE(view.find<v1::Vm>("vm-1"), nullptr);
  EXPECT_EQ(view.find<v1::Vm>("vm-1")->meta().revision(), 3U);
  view.apply({.revision = 4,
              .changes = {{.kind = port::Write::Kind::erase,
                           .entry = {.key = "/vm/vm-1", .value = {}, .created = 0, .modified = 4}}}},
             touched);
  EXPECT_EQ(view.find<v1::Vm>("vm-1"), nullptr);
}

}  // namespace
}  // namespace gantry::control
