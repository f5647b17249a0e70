#include "link/outbox.h"

#include <gtest/gtest.h>

namespace gantry::link {
namespace {

v1::ToHost assign(std::uint64_t sequence, const std::string& vm_id, std::uint64_t generation, bool complete = false) {
  v1::ToHost message;
  message.set_sequence(sequence);
  message.set_complete(complete);
  v1::Meta& meta = *message.add_assignments()->mutable_vm()->mutable_meta();
  meta.set_id(vm_id);
  meta.set_generation(generation);
  return message;
}

TEST(ToHostOutbox, KeepsTheNewestOfEachRecordAndNoMore) {
  ToHostOutbox outbox;
  EXPECT_FALSE(outbox.take());
  for (std::uint64_t n = 1; n <= 100'000; ++n) outbox.add(assign(n, n % 2 == 0 ? "vm-a" : "vm-b", n));
  EXPECT_EQ(outbox.size(), 2U);
  const auto message = outbox.take();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->sequence(), 100'000U);
  EXPECT_FALSE(message->complete());
  ASSERT_EQ(message->assignments_size(), 2);
  EXPECT_EQ(message->assignments(0).vm().meta().generation(), 100'000U);
  EXPECT_EQ(message->assignments(1).vm().meta().generation(), 99'999U);
  EXPECT_FALSE(outbox.take());
}

TEST(ToHostOutbox, WhatHasAllTakesThePlaceOfWhatWasBeforeAndLaterOnesAddToIt) {
  ToHostOutbox outbox;
  outbox.add(assign(1, "vm-gone", 1));
  outbox.add(assign(2, "vm-a", 1, true));
  outbox.add(assign(3, "vm-b", 1));
  const auto message = outbox.take();
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->complete());
  EXPECT_EQ(message->sequence(), 3U);
  ASSERT_EQ(message->assignments_size(), 2);
  EXPECT_EQ(message->assignments(0).vm().meta().id(), "vm-a");
}

TEST(ToHostOutbox, ACompleteMessageOfNothingIsSaidToo) {
  ToHostOutbox outbox;
  v1::ToHost nothing;
  nothing.set_complete(true);
  outbox.add(nothing);
  ASSERT_TRUE(outbox.take());
}

TEST(FromHostOutbox, KeepsTheNewestOfEachRecordTheHelloAndTheFacts) {
  FromHostOutbox outbox;
  EXPECT_FALSE(outbox.take());
  v1::FromHost hello;
  hello.set_hello(true);
  hello.mutable_host()->set_kernel("6.1");
  hello.mutable_mark()->set_sequence(1);
  outbox.add(hello);
  for (std::uint64_t n = 2; n <= 1000; ++n) {
    v1::FromHost message;
    message.mutable_mark()->set_sequence(n);
    v1::Observation& observation = *message.add_observations();
    observation.set_id("vm-a");
    observation.mutable_vm()->set_observed_generation(n);
    v1::Sample& sample = *message.add_samples();
    sample.set_id(n % 2 == 0 ? "vm-a" : "vm-b");
    sample.mutable_vm()->set_cpu_percent(static_cast<double>(n));
    outbox.add(message);
  }
  const auto message = outbox.take();
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->hello());
  EXPECT_EQ(message->host().kernel(), "6.1");
  EXPECT_EQ(message->mark().sequence(), 1000U);
  ASSERT_EQ(message->observations_size(), 1);
  EXPECT_EQ(message->observations(0).vm().observed_generation(), 1000U);
  ASSERT_EQ(message->samples_size(), 2);
  EXPECT_EQ(message->samples(0).vm().cpu_percent(), 1000);
  EXPECT_EQ(message->samples(1).vm().cpu_percent(), 999);
  EXPECT_FALSE(outbox.take());
}

}  // namespace
}  // namespace gantry::link
