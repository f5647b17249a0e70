// What kinds of records there are, and how each is kept in the store.
#pragma once

#include <google/protobuf/message_lite.h>

#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/time.h"
#include "gantry/v1/host.pb.h"
#include "gantry/v1/join.pb.h"
#include "gantry/v1/network.pb.h"
#include "gantry/v1/rule.pb.h"
#include "gantry/v1/security.pb.h"
#include "gantry/v1/storage.pb.h"
#include "gantry/v1/task.pb.h"
#include "gantry/v1/vm.pb.h"
#include "model/keys.h"

namespace gantry::control {

// `word` as in keys, `id_prefix` as in ids, `noun` for people.
template <class Record>
struct Kind;
template <>
struct Kind<v1::Vm> {
  static constexpr std::string_view word = model::kVm, id_prefix = "vm", noun = "VM";
};
template <>
struct Kind<v1::Volume> {
  static constexpr std::string_view word = model::kVolume, id_prefix = "vol", noun = "volume";
};
template <>
struct Kind<v1::Pool> {
  static constexpr std::string_view word = model::kPool, id_prefix = "pool", noun = "pool";
};
template <>
struct Kind<v1::Image> {
  static constexpr std::string_view word = model::kImage, id_prefix = "img", noun = "image";
};
template <>
struct Kind<v1::Network> {
  static constexpr std::string_view word = model::kNetwork, id_prefix = "net", noun = "network";
};
template <>
struct Kind<v1::SecurityGroup> {
  static constexpr std::string_view word = model::kSecurityGroup, id_prefix = "sg", noun = "security group";
};
template <>
struct Kind<v1::Host> {
  static constexpr std::string_view word = model::kHost, id_prefix = "host", noun = "host";
};
template <>
struct Kind<v1::Rule> {
  static constexpr std::string_view word = model::kRule, id_prefix = "rule", noun = "rule";
};
template <>
struct Kind<v1::Task> {
  static constexpr std::string_view word = model::kTask, id_prefix = "task", noun = "task";
};

// Holder<Vm>, Holder<Volume>... in the order in which machines look at them: each kind before those that use it.
template <template <class> class Holder>
using EachKind =
    std::tuple<Holder<v1::Host>, Holder<v1::Pool>, Holder<v1::Image>, Holder<v1::Network>, Holder<v1::SecurityGroup>,
               Holder<v1::Volume>, Holder<v1::Vm>, Holder<v1::Rule>, Holder<v1::Task>>;

inline constexpr std::uint32_t kSchemaVersion = 1;

// Written by every accepted change and compared by the next: changes that reserve something (memory, names, addresses,
// ports, space) or that come to use another record can never both be accepted from the same view, whichever manager
// accepts them and however late a commit of unknown outcome lands.
inline constexpr std::string_view kAdmissionKey = "/guard/admission";
inline constexpr std::string_view kIdempotencyPrefix = "/idempotency/";

// In the place of an id: what a shared pool, or a network, refers to that every host has.
inline constexpr std::string_view kEveryHost = "every-host";

// The same bytes for the same content, without meta.revision.
std::string to_bytes(const google::protobuf::MessageLite& record);
template <class Record>
std::string record_bytes(Record record) {
  record.mutable_meta()->clear_revision();
  return to_bytes(record);
}

// The ids of the records it cannot be without; a task's target while it is open.
std::vector<std::string> references(const v1::Vm& vm);
std::vector<std::string> references(const v1::Volume& volume);
std::vector<std::string> references(const v1::Pool& pool);
std::vector<std::string> references(const v1::Image& image);
std::vector<std::string> references(const v1::Network& network);
// But for itself.
std::vector<std::string> references(const v1::SecurityGroup& group);
std::vector<std::string> references(const v1::Host& host);
// Those it names; it goes on without them.
std::vector<std::string> references(const v1::Rule& rule);
std::vector<std::string> references(const v1::Task& task);

void set_time(google::protobuf::Timestamp& timestamp, Milliseconds unix_ms);
Milliseconds time_of(const google::protobuf::Timestamp& timestamp);

}  // namespace gantry::control
