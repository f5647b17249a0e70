// What hosts measured: of themselves and of guests of their own, and of nothing else.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "control/test_world.h"

namespace gantry::control {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Sink final : public port::SampleSink {
 public:
  void take(const v1::Sample& sample) override { ids.push_back(sample.id()); }
  std::vector<std::string> ids;
};

class SamplesTest : public testing::Test {
 protected:
  SamplesTest() {
    world.options.samples = &sink;
    world.restart();
    world.executor.run_for(100);
    world.make_image();
    world.make_vm();
    beta = world.join("beta");
  }
  void say(const std::string& host_id, const v1::Sample& sample) {
    v1::FromHost message;
    message.set_host_id(host_id);
    *message.add_samples() = sample;
    world.link.say(message);
  }
  static v1::Sample of_vm(const std::string& id) {
    v1::Sample sample;
    sample.set_id(id);
    sample.mutable_vm()->set_cpu_percent(1);
    return sample;
  }
  static v1::Sample of_host(const std::string& id) {
    v1::Sample sample;
    sample.set_id(id);
    sample.mutable_host()->set_cpu_percent(1);
    return sample;
  }

  Sink sink;
  World world;
  std::string beta;
};

TEST_F(SamplesTest, OfItselfAndItsGuestsAHostIsHeard) {
  const std::string vm_id = world.vm().meta().id();
  say(kHostId, of_vm(vm_id));
  say(kHostId, of_host(kHostId));
  say(beta, of_host(beta));
  EXPECT_THAT(sink.ids, ElementsAre(vm_id, kHostId, beta));
}

TEST_F(SamplesTest, OfWhatIsNotItsOwnItIsNot) {
  const std::string vm_id = world.vm().meta().id();
  say(beta, of_vm(vm_id));
  say(beta, of_host(kHostId));
  say(kHostId, of_vm("vm-there-is-none"));
  say("host-nobody-knows", of_host("host-nobody-knows"));
  // As one kind under the name of the other, or as none.
  say(kHostId, of_vm(kHostId));
  say(kHostId, of_host(vm_id));
  v1::Sample of_nothing;
  of_nothing.set_id(vm_id);
  say(kHostId, of_nothing);
  EXPECT_THAT(sink.ids, IsEmpty());
}

TEST_F(SamplesTest, WhatNobodyCanMeasureIsNotTaken) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double value : {-1.0, -0.1, kInfinity, -kInfinity, 1e19, std::nan("")}) {
    v1::Sample vm = of_vm(world.vm().meta().id());
    vm.mutable_vm()->set_network_sent_bytes_per_second(value);
    say(kHostId, vm);
    v1::Sample host = of_host(kHostId);
    host.mutable_host()->set_memory_total_bytes(value);
    say(kHostId, host);
  }
  EXPECT_THAT(sink.ids, IsEmpty());
}

TEST_F(SamplesTest, ATooLargeOneIsNotTaken) {
  v1::Sample large = of_host(kHostId);
  large.mutable_host()
      ->GetReflection()
      ->MutableUnknownFields(large.mutable_host())
      ->AddLengthDelimited(900)
      ->assign(2'000, 'x');
  say(kHostId, large);
  EXPECT_THAT(sink.ids, IsEmpty());
}

}  // namespace
}  // namespace gantry::control
