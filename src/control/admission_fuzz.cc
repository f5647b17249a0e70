// Any bytes as the request of any CHANGE route, over a small inventory: accepted or refused with a reason, never a
// crash, and never two writes of one key.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <utility>

#include "control/admission.h"
#include "gantry/v1/join.pb.h"

namespace {

using namespace gantry;

const std::string kTokenHash(64, 'a');

template <class Record>
void add(port::Range& range, const Record& record) {
  port::Entry entry;
  entry.key = model::record_key(control::Kind<Record>::word, record.meta().id());
  entry.value = record.SerializeAsString();
  entry.created = entry.modified = 1;
  range.entries.push_back(std::move(entry));
}

control::View make_view() {
  port::Range range;
  range.revision = 1;
  v1::Host host;
  host.mutable_meta()->set_id("host-000000000001");
  host.mutable_meta()->set_name("h");
  host.mutable_status()->set_state(v1::HostStatus::CONNECTED);
  host.mutable_status()->set_memory_bytes(64ULL << 30U);
  host.mutable_status()->set_accelerator("tcg");
  add(range, host);
  v1::Pool pool;
  pool.mutable_meta()->set_id("pool-000000000001");
  pool.mutable_meta()->set_name("default");
  pool.mutable_spec()->set_host_id(host.meta().id());
  add(range, pool);
  v1::Network network;
  network.mutable_meta()->set_id("net-000000000001");
  network.mutable_meta()->set_name("default");
  network.mutable_spec()->set_ipv4_subnet("10.66.0.0/24");
  network.mutable_status()->set_host_id(host.meta().id());
  add(range, network);
  v1::Image image;
  image.mutable_meta()->set_id("img-000000000001");
  image.mutable_meta()->set_name("i");
  image.mutable_spec()->set_pool(pool.meta().id());
  add(range, image);
  v1::SecurityGroup group;
  group.mutable_meta()->set_id("sg-000000000001");
  group.mutable_meta()->set_name("g");
  add(range, group);
  v1::Vm vm;
  vm.mutable_meta()->set_id("vm-000000000001");
  vm.mutable_meta()->set_name("v");
  vm.mutable_placement()->set_host_id(host.meta().id());
  vm.mutable_spec()->add_nics()->set_network(network.meta().id());
  add(range, vm);
  v1::Host other;
  other.mutable_meta()->set_id("host-000000000002");
  other.mutable_meta()->set_name("o");
  add(range, other);
  v1::Rule rule;
  rule.mutable_meta()->set_id("rule-000000000001");
  rule.mutable_meta()->set_name("r");
  rule.mutable_spec()->set_kind(v1::RuleSpec::NOT_ON_HOSTS);
  rule.mutable_spec()->add_vms(vm.meta().id());
  rule.mutable_spec()->add_hosts(other.meta().id());
  add(range, rule);
  v1::HostToken token;
  token.set_secret_hash(kTokenHash);
  token.mutable_expires_at()->set_seconds(1'000'000'000'000);
  port::Entry entry;
  entry.key = model::record_key(model::kHostToken, kTokenHash);
  entry.value = token.SerializeAsString();
  entry.created = entry.modified = 1;
  range.entries.push_back(std::move(entry));
  control::View view;
  view.own_hosts = {host.meta().id()};
  control::View::Touched touched;
  view.load(range, touched);
  return view;
}

// Else no machine would get in.
void know_token(v1::AdmitHostRequest& request) { request.set_secret_hash(kTokenHash); }
template <class Request>
void know_token(Request&) {}

template <class Request>
void try_one(const char* rpc, const std::string& bytes) {
  static const control::View kView = make_view();
  Request request;
  if (!request.ParseFromString(bytes)) return;
  know_token(request);
  Rng rng(bytes.size());
  port::CallOptions options;
  options.actor = "fuzz";
  options.idempotency_key = bytes.substr(0, 8);
  const auto admitted = control::admit(rpc, request, options, kView, Now{}, rng);
  if (!admitted) {
    if (admitted.error().summary.empty()) std::abort();
    return;
  }
  std::set<std::string> keys;
  for (const port::Write& write : admitted->txn.writes) {
    if (!keys.insert(write.key).second) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(data[i]);
  try_one<v1::CreateVmRequest>("CreateVm", bytes);
  try_one<v1::UpdateVmRequest>("UpdateVm", bytes);
  try_one<v1::StopVmRequest>("StopVm", bytes);
  try_one<v1::MoveVmRequest>("MoveVm", bytes);
  try_one<v1::MoveVolumeRequest>("MoveVolume", bytes);
  try_one<v1::DeleteVmRequest>("DeleteVm", bytes);
  try_one<v1::CreateVolumeRequest>("CreateVolume", bytes);
  try_one<v1::CreateImageRequest>("CreateImage", bytes);
  try_one<v1::CreateNetworkRequest>("CreateNetwork", bytes);
  try_one<v1::CreateSecurityGroupRequest>("CreateSecurityGroup", bytes);
  try_one<v1::UpdateSecurityGroupRequest>("UpdateSecurityGroup", bytes);
  try_one<v1::ById>("DeleteSecurityGroup", bytes);
  try_one<v1::CreatePoolRequest>("CreatePool", bytes);
  try_one<v1::CreateRuleRequest>("CreateRule", bytes);
  try_one<v1::UpdateRuleRequest>("UpdateRule", bytes);
  try_one<v1::ById>("DeleteRule", bytes);
  try_one<v1::UpdateHostRequest>("UpdateHost", bytes);
  try_one<v1::AdmitHostRequest>("AdmitHost", bytes);
  try_one<v1::KeepHostTokenRequest>("KeepHostToken", bytes);
  try_one<v1::DeleteHostRequest>("DeleteHost", bytes);
  try_one<v1::ById>("StartVm", bytes);
  try_one<v1::ById>("CancelTask", bytes);
  return 0;
}
