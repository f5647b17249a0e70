#include "control/records.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "control/vm_hosts.h"
#include "model/network_kinds.h"
#include "model/state.h"

namespace gantry::control {
namespace {
void add(std::vector<std::string>& ids, const std::string& id) {
  if (!id.empty()) ids.push_back(id);
}
}  // namespace

std::string to_bytes(const google::protobuf::MessageLite& record) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream sink(&bytes);
    google::protobuf::io::CodedOutputStream coded(&sink);
    coded.SetSerializationDeterministic(true);
    record.SerializeToCodedStream(&coded);
  }
  return bytes;
}

std::vector<std::string> references(const v1::Vm& vm) {
  std::vector<std::string> ids;
  for (const std::string& host_id : hosts_of(vm)) add(ids, host_id);
  add(ids, vm.spec().host());
  add(ids, vm.spec().image());
  add(ids, vm.spec().lease_pool());
  for (const v1::VmDisk& disk : vm.spec().disks()) add(ids, disk.volume());
  for (const v1::CopiedDisk& disk : vm.placement().move().disks()) add(ids, disk.copy());
  add(ids, vm.placement().move().lease_pool());
  add(ids, vm.placement().disk_move().disk().copy());
  for (const v1::VmNic& nic : vm.spec().nics()) {
    add(ids, nic.network());
    for (const std::string& group : nic.security_groups()) add(ids, group);
  }
  return ids;
}

std::vector<std::string> references(const v1::Volume& volume) {
  std::vector<std::string> ids;
  add(ids, volume.spec().pool());
  add(ids, volume.spec().image());
  add(ids, volume.spec().owner_vm_id());
  add(ids, volume.keeper().host_id());
  return ids;
}

std::vector<std::string> references(const v1::Pool& pool) {
  const v1::PoolSpec& spec = pool.spec();
  if (!spec.shared()) return {spec.host_id()};
  if (spec.hosts().empty()) return {std::string(kEveryHost)};
  return {spec.hosts().begin(), spec.hosts().end()};
}

std::vector<std::string> references(const v1::Image& image) {
  std::vector<std::string> ids;
  add(ids, image.spec().pool());
  add(ids, image.keeper().host_id());
  return ids;
}

std::vector<std::string> references(const v1::Network& network) {
  if (model::spans_hosts(network)) return {std::string(kEveryHost)};
  std::vector<std::string> ids;
  add(ids, network.status().host_id());
  return ids;
}

std::vector<std::string> references(const v1::SecurityGroup& group) {
  std::vector<std::string> ids;
  for (const v1::SecurityRule& rule : group.spec().rules()) {
    if (rule.group() != group.meta().id()) add(ids, rule.group());
  }
  return ids;
}

std::vector<std::string> references(const v1::Host&) { return {}; }

std::vector<std::string> references(const v1::Rule& rule) {
  std::vector<std::string> ids(rule.spec().vms().begin(), rule.spec().vms().end());
  ids.insert(ids.end(), rule.spec().hosts().begin(), rule.spec().hosts().end());
  return ids;
}

std::vector<std::string> references(const v1::Task& task) {
  std::vector<std::string> ids;
  if (!model::is_ended(task.state())) add(ids, task.target_id());
  return ids;
}

void set_time(google::protobuf::Timestamp& timestamp, Milliseconds unix_ms) {
  timestamp.set_seconds(unix_ms / 1000);
  timestamp.set_nanos(static_cast<std::int32_t>(unix_ms % 1000) * 1'000'000);
}

Milliseconds time_of(const google::protobuf::Timestamp& timestamp) {
  return timestamp.seconds() * 1000 + timestamp.nanos() / 1'000'000;
}

}  // namespace gantry::control
