#include "link/outbox.h"

#include <utility>

namespace gantry::link {
namespace {

// Of the record that is assigned.
const std::string& id_of(const v1::Assignment& assignment) {
  switch (assignment.record_case()) {
    case v1::Assignment::kVm: return assignment.vm().meta().id();
    case v1::Assignment::kVolume: return assignment.volume().meta().id();
    case v1::Assignment::kImage: return assignment.image().meta().id();
    case v1::Assignment::kNetwork: return assignment.network().meta().id();
    case v1::Assignment::kPool: return assignment.pool().meta().id();
    case v1::Assignment::RECORD_NOT_SET: break;
  }
  return v1::Meta::default_instance().id();
}

}  // namespace

// One that has all there are takes the place of everything before; a later one that has some adds to it, and it still
// has all.
void ToHostOutbox::add(const v1::ToHost& message) {
  if (message.complete()) assignments_.clear();
  complete_ = complete_ || message.complete();
  for (const v1::Assignment& assignment : message.assignments()) assignments_[id_of(assignment)] = assignment;
  sequence_ = message.sequence();
  waiting_ = true;
}

std::optional<v1::ToHost> ToHostOutbox::take() {
  if (!waiting_) return std::nullopt;
  v1::ToHost message;
  message.set_sequence(sequence_);
  message.set_complete(complete_);
  for (auto& [id, assignment] : assignments_) *message.add_assignments() = std::move(assignment);
  *this = {};
  return message;
}

// A later mark holds for the earlier observations too: they are the newest there are of their records.
void FromHostOutbox::add(const v1::FromHost& message) {
  const bool hello = message.hello() || (frame_ && frame_->hello());
  v1::FromHost frame;
  frame.set_host_id(message.host_id());
  frame.set_host_name(message.host_name());
  *frame.mutable_mark() = message.mark();
  frame.set_hello(hello);
  if (message.has_host()) {
    *frame.mutable_host() = message.host();
  } else if (frame_ && frame_->has_host()) {
    *frame.mutable_host() = frame_->host();
  }
  frame_ = std::move(frame);
  for (const v1::Observation& observation : message.observations()) observations_[observation.id()] = observation;
  for (const v1::Sample& sample : message.samples()) samples_[sample.id()] = sample;
}

std::optional<v1::FromHost> FromHostOutbox::take() {
  if (!frame_) return std::nullopt;
  v1::FromHost message = std::move(*frame_);
  for (auto& [id, observation] : observations_) *message.add_observations() = std::move(observation);
  for (auto& [id, sample] : samples_) *message.add_samples() = std::move(sample);
  *this = {};
  return message;
}

}  // namespace gantry::link
