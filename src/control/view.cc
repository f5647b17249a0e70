#include "control/view.h"

#include "control/reach.h"
#include "control/vm_hosts.h"
#include "model/ipv4.h"
#include "model/network_kinds.h"
#include "model/state.h"
#include "model/uid.h"

namespace gantry::control {
namespace {

std::string address_word(const std::string& network_id, const std::string& ipv4) {
  return "address " + network_id + " " + ipv4;
}

std::string port_word(const std::string& host_id, v1::PortForward::Protocol protocol, std::uint32_t port) {
  return "port " + host_id + " " + std::to_string(protocol) + " " + std::to_string(port);
}

std::string uid_word(std::uint32_t uid) { return "uid " + std::to_string(uid); }
std::string uid_word(const v1::Meta& meta) { return uid_word(model::guest_uid(meta.id())); }
std::string host_word(const std::string& ipv4) { return "host-at " + ipv4; }
std::string gateway_word(const std::string& ipv4) { return "gateway " + ipv4; }

void touch(const v1::Volume& volume, View::Ids& touched) {
  if (!volume.spec().owner_vm_id().empty()) touched.insert(volume.spec().owner_vm_id());
}
template <class Record>
void touch(const Record&, View::Ids&) {}

}  // namespace

void View::load(const port::Range& range, Touched& touched) {
  auto subnets = std::move(host_subnets);
  auto own = std::move(own_hosts);
  const std::uint32_t overcommit = cpu_overcommit;
  *this = View();
  host_subnets = std::move(subnets);
  own_hosts = std::move(own);
  cpu_overcommit = overcommit;
  for (const port::Entry& entry : range.entries) change({.kind = port::Write::Kind::put, .entry = entry}, touched);
  revision_ = range.revision;
}

void View::apply(const port::ChangeBatch& batch, Touched& touched) {
  for (const port::Change& each : batch.changes) change(each, touched);
  revision_ = batch.revision;
}

void View::change(const port::Change& change, Touched& touched) {
  const bool put = change.kind == port::Write::Kind::put;
  const std::string& key = change.entry.key;
  if (key == kAdmissionKey) {
    admission_revision_ = put ? change.entry.modified : 0;
    admission_word_ = put ? change.entry.value : "";
  } else if (key.rfind(kIdempotencyPrefix, 0) == 0) {
    change_key(change);
  } else if (key.rfind(model::prefix_of(model::kHostToken), 0) == 0) {
    change_token(change);
  } else {
    // Names ("/name/...") follow from the records; users and sessions are the API edge's.
    change_kind<v1::Vm>(change, touched) || change_kind<v1::Volume>(change, touched) ||
        change_kind<v1::Task>(change, touched) || change_kind<v1::Image>(change, touched) ||
        change_kind<v1::Network>(change, touched) || change_kind<v1::Pool>(change, touched) ||
        change_kind<v1::SecurityGroup>(change, touched) || change_kind<v1::Host>(change, touched) ||
        change_kind<v1::Rule>(change, touched);
  }
}

void View::change_key(const port::Change& change) {
  const std::string& key = change.entry.key;
  if (const auto found = idempotency_keys_.find(key); found != idempotency_keys_.end()) {
    keys_by_age_.erase(found->second.revision);
    idempotency_keys_.erase(found);
  }
  if (change.kind == port::Write::Kind::erase) return;
  Key& held = idempotency_keys_[key];
  // One that cannot be read counts as old, and names no task.
  if (!held.record.ParseFromString(change.entry.value)) held.record.Clear();
  held.revision = change.entry.modified;
  keys_by_age_[held.revision] = key;
}

void View::change_token(const port::Change& change) {
  const std::string hash = change.entry.key.substr(model::prefix_of(model::kHostToken).size());
  if (change.kind == port::Write::Kind::erase) {
    host_tokens_.erase(hash);
    return;
  }
  Token& held = host_tokens_[hash];
  // One that cannot be read has ended long ago.
  if (!held.record.ParseFromString(change.entry.value)) held.record.Clear();
  held.revision = change.entry.modified;
}

template <class Record>
bool View::change_kind(const port::Change& change, Touched& touched) {
  const std::string prefix = model::prefix_of(Kind<Record>::word);
  if (change.entry.key.rfind(prefix, 0) != 0) return false;
  const std::string id = change.entry.key.substr(prefix.size());
  auto& table = std::get<Table<Record>>(tables_);
  touched.records.insert(id);
  Record next;
  const bool put = change.kind == port::Write::Kind::put;
  // What cannot be read whole is kept as far as it can: a record must not vanish by a defect of another version.
  if (put && !next.ParseFromString(change.entry.value)) next.mutable_meta()->set_id(id);
  const auto found = table.by_id.find(id);
  const bool reaches = reach_of(next) != (found != table.by_id.end() ? reach_of(found->second) : reach_of(Record()));
  if (found != table.by_id.end()) {
    touch(found->second, touched.records);
    if (reaches) touch_reach(*this, found->second, touched.assignments);
    index(found->second, -1);
  }
  if (!put) {
    if (found != table.by_id.end()) table.by_id.erase(found);
    return true;
  }
  Record& record = found != table.by_id.end() ? found->second : table.by_id[id];
  record = std::move(next);
  record.mutable_meta()->set_revision(change.entry.modified);
  index(record, +1);
  touch(record, touched.records);
  if (reaches) touch_reach(*this, record, touched.assignments);
  return true;
}

template <class Record>
void View::index(const Record& record, int sign) {
  const std::string& id = record.meta().id();
  for (const std::string& used : references(record)) {
    if (sign > 0) {
      users_[used].insert(id);
    } else if (const auto users = users_.find(used); users != users_.end()) {
      users->second.erase(id);
      if (users->second.empty()) users_.erase(users);
    }
  }
  if (!record.meta().name().empty()) {
    auto& names = std::get<Table<Record>>(tables_).id_by_name;
    if (sign > 0) {
      names[record.meta().name()] = id;
    } else if (const auto name = names.find(record.meta().name()); name != names.end() && name->second == id) {
      names.erase(name);
    }
  }
  account(record, sign);
}

void View::account(const v1::Vm& vm, int sign) {
  take(uid_word(vm.meta()), sign);
  const auto hosts = hosts_of(vm);
  for (const std::string& host_id : hosts) {
    if (!holds_memory_on(vm, host_id)) continue;
    HostUse& use = host_use_[host_id];
    use.memory_mib += sign > 0 ? std::uint64_t{vm.spec().memory_mib()} : -std::uint64_t{vm.spec().memory_mib()};
    use.cpus += sign > 0 ? std::uint64_t{vm.spec().cpus()} : -std::uint64_t{vm.spec().cpus()};
    use.guests += sign > 0 ? 1U : -1U;
  }
  for (const v1::VmNic& nic : vm.spec().nics()) {
    take("mac " + nic.mac(), sign);
    account_nic(vm, nic, sign);
    if (!nic.ipv4().empty()) take(address_word(nic.network(), nic.ipv4()), sign);
    for (const v1::PortForward& forward : nic.port_forwards()) {
      for (const std::string& host_id : hosts) take(port_word(host_id, forward.protocol(), forward.host_port()), sign);
    }
  }
}

void View::account_nic(const v1::Vm& vm, const v1::VmNic& nic, int sign) {
  for (const std::string& host_id : {vm.placement().host_id(), vm.placement().move().host_id()}) {
    if (host_id.empty()) continue;
    if (sign > 0) {
      nics_[nic.network()][host_id].insert(vm.meta().id());
      continue;
    }
    // Another NIC of it may have been in the same.
    const auto network = nics_.find(nic.network());
    if (network == nics_.end()) continue;
    const auto host = network->second.find(host_id);
    if (host == network->second.end()) continue;
    host->second.erase(vm.meta().id());
    if (host->second.empty()) network->second.erase(host);
    if (network->second.empty()) nics_.erase(network);
  }
}

void View::account(const v1::Volume& volume, int sign) {
  take(uid_word(volume.meta()), sign);
  const std::uint64_t bytes = model::promised_bytes(volume);
  promised_[volume.spec().pool()] += sign > 0 ? bytes : -bytes;
}

void View::account(const v1::Task& task, int sign) {
  const std::pair<Milliseconds, std::string> place{time_of(task.meta().created_at()), task.meta().id()};
  if (sign > 0) {
    tasks_by_time_.insert(place);
  } else {
    tasks_by_time_.erase(place);
  }
  if (model::is_ended(task.state())) ended_tasks_ += sign > 0 ? std::size_t{1} : -std::size_t{1};
}

void View::account(const v1::Image& image, int sign) { take(uid_word(image.meta()), sign); }

void View::account(const v1::Network& network, int sign) {
  if (!model::has_gateway(network.spec().kind())) return;
  const auto subnet = model::parse_ipv4_subnet(network.spec().ipv4_subnet());
  const auto gateway = subnet ? subnet->host(1) : std::nullopt;
  if (gateway) take(gateway_word(model::format_ipv4(*gateway)), sign);
}

void View::account(const v1::Host& host, int sign) {
  if (!host.status().address().empty()) take(host_word(host.status().address()), sign);
}

void View::take(const std::string& what, int sign) {
  const auto found = taken_.emplace(what, 0).first;
  found->second += sign;
  if (found->second <= 0) taken_.erase(found);
}

const View::Ids& View::users_of(const std::string& id) const {
  static const Ids kNone;
  const auto found = users_.find(id);
  return found == users_.end() ? kNone : found->second;
}

std::uint64_t View::reserved_mib(const std::string& host_id) const {
  const auto found = host_use_.find(host_id);
  return found == host_use_.end() ? 0 : found->second.memory_mib;
}

std::uint32_t View::guests(const std::string& host_id) const {
  const auto found = host_use_.find(host_id);
  return found == host_use_.end() ? 0 : found->second.guests;
}

std::uint64_t View::promised_cpus(const std::string& host_id) const {
  const auto found = host_use_.find(host_id);
  return found == host_use_.end() ? 0 : found->second.cpus;
}

std::uint64_t View::promised_bytes(const std::string& pool_id) const {
  const auto found = promised_.find(pool_id);
  return found == promised_.end() ? 0 : found->second;
}

int View::taken(const std::string& what) const {
  const auto found = taken_.find(what);
  return found == taken_.end() ? 0 : found->second;
}

bool View::has_uid(std::uint32_t uid) const { return taken(uid_word(uid)) != 0; }
int View::hosts_at(const std::string& ipv4) const { return taken(host_word(ipv4)); }
int View::gateways_at(const std::string& ipv4) const { return taken(gateway_word(ipv4)); }

std::vector<std::string> View::segments() const { return users_of_kind<v1::Network>(std::string(kEveryHost)); }

const View::VmsByHost& View::nics_in(const std::string& network_id) const {
  static const VmsByHost kNone;
  const auto found = nics_.find(network_id);
  return found == nics_.end() ? kNone : found->second;
}

bool View::has_address(const std::string& network_id, const std::string& ipv4) const {
  return taken(address_word(network_id, ipv4)) != 0;
}

bool View::has_port(const std::string& host_id, v1::PortForward::Protocol protocol, std::uint32_t port) const {
  return taken(port_word(host_id, protocol, port)) != 0;
}

}  // namespace gantry::control
