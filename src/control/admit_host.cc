// Admission of hosts: the tokens they join with, their joining and leaving.
#include <algorithm>

#include "base/id.h"
#include "control/admission.h"
#include "control/host_records.h"
#include "control/pool_hosts.h"
#include "control/refuse_used.h"
#include "control/segments.h"
#include "control/vm_hosts.h"

namespace gantry::control {
namespace {

constexpr std::size_t kTokensMax = 1'000;

Result<const v1::HostToken*> find_token(const Change& change, const std::string& hash) {
  const auto& tokens = change.view().host_tokens();
  const auto found = tokens.find(hash);
  if (found == tokens.end()) {
    return fail(ErrorCode::permission_denied, "the token is not valid",
                "it was used before, has ended (an hour after it was made), or this manager did not make it",
                "make a new one: gantry host token", "token_unknown");
  }
  if (has_ended(found->second.record, change.now())) {
    return fail(ErrorCode::permission_denied, "the token has ended", "an hour is over since it was made",
                "make a new one: gantry host token", "token_expired");
  }
  return &found->second.record;
}

template <class Record>
Result<void> refuse_on_host(const Change& change, const v1::Host& host, const std::string& id) {
  return refuse_users<Record>(change, lasting_users<Record>(change, id),
                              Change::quoted<v1::Host>("cannot take leave of the", host.meta().name()),
                              "host_not_empty");
}

// Those that are its own, or may be no other's. What moves there is kept where it is then, and what left it is not
// there.
Result<void> refuse_vms(const Change& change, const v1::Host& host) {
  const std::string& id = host.meta().id();
  auto vms = lasting_users<v1::Vm>(change, id);
  // One that is on its way there may be given to it at any moment.
  std::erase_if(vms, [&](const std::string& vm_id) {
    const auto* vm = change.view().find<v1::Vm>(vm_id);
    return vm->placement().host_id() != id && vm->spec().host() != id && !moves_to(*vm, id);
  });
  return refuse_users<v1::Vm>(change, vms, Change::quoted<v1::Host>("cannot take leave of the", host.meta().name()),
                              "host_not_empty");
}

// The pools that are the host's alone. Shared ones go on without it, but for one that nobody else has, or that it is to
// make.
Result<std::vector<std::string>> own_pools(const Change& change, const v1::Host& host) {
  std::vector<std::string> own;
  for (const std::string& id : pools_of_host(change.view(), host.meta().id())) {
    const auto* pool = change.view().find<v1::Pool>(id);
    if (pool == nullptr) continue;
    if (!pool->spec().shared()) {
      own.push_back(id);
      continue;
    }
    const auto hosts = hosts_of_pool(change.view(), *pool);
    const bool others = std::any_of(hosts.begin(), hosts.end(), [&](const std::string& other) {
      const auto* found = change.view().find<v1::Host>(other);
      return other != host.meta().id() && found != nullptr && !found->meta().has_deletion();
    });
    if ((others && maker_of(*pool) != host.meta().id()) || pool->meta().has_deletion()) continue;
    return fail(ErrorCode::conflict, Change::quoted<v1::Host>("cannot take leave of the", host.meta().name()),
                others ? "it is to make shared pool \"" + pool->meta().name() + "\", which was never ready"
                       : "no other host has shared pool \"" + pool->meta().name() + "\"",
                "delete the pool first: gantry pool delete " + pool->meta().name(), "host_not_empty");
  }
  return own;
}

// The host's pools, then its networks.
void forget_things(Change& change, const std::vector<std::string>& pools, const std::vector<std::string>& networks) {
  for (const std::string& pool : pools) {
    change.mark_deleted(*change.draft.edit<v1::Pool>(pool).mutable_meta());
    change.step("forget pool " + change.view().find<v1::Pool>(pool)->meta().name() + "; its directory stays");
  }
  for (const std::string& network : networks) {
    change.mark_deleted(*change.draft.edit<v1::Network>(network).mutable_meta());
    change.step("take network " + change.view().find<v1::Network>(network)->meta().name() + " down");
  }
}

std::string shared_disks_of(const Change& change, const v1::Vm& vm) {
  std::string names;
  for (const v1::VmDisk& disk : vm.spec().disks()) {
    const auto* volume = change.view().find<v1::Volume>(disk.volume());
    const auto* pool = volume == nullptr ? nullptr : change.view().find<v1::Pool>(volume->spec().pool());
    if (pool == nullptr || !pool->spec().shared()) continue;
    names += (names.empty() ? "" : ", ") + volume->meta().name();
  }
  return names;
}

// Guests that are being deleted run until their host says otherwise. Once its record is gone, nothing keeps others from
// their disks; a host that is connected now may be cut off before that.
Result<void> spare_shared_disks(Change& change, const v1::Host& host, bool machine_is_off) {
  const std::string& name = host.meta().name();
  for (const std::string& vm_id : change.view().users_of_kind<v1::Vm>(host.meta().id())) {
    const auto* vm = change.view().find<v1::Vm>(vm_id);
    if (vm == nullptr || vm->placement().host_id() != host.meta().id()) continue;
    const std::string disks = shared_disks_of(change, *vm);
    if (disks.empty()) continue;
    if (machine_is_off) {
      change.warn("if VM " + vm->meta().name() + " still runs on host " + name + ", it and others may write to " +
                  disks + " at once, which destroys it");
      continue;
    }
    return fail(ErrorCode::conflict, Change::quoted<v1::Host>("cannot take leave of the", name),
                "VM \"" + vm->meta().name() + "\" is being deleted and may still run there, and write to " + disks +
                    " in a shared pool",
                "wait until it is gone; if the machine will not come back, see that it is off, and say so: gantry host "
                "leave " +
                    name + " --machine-is-off",
                "host_not_empty");
  }
  return {};
}

}  // namespace

Result<v1::HostToken> keep_host_token(Change& change, const v1::KeepHostTokenRequest& request) {
  // The first host of all gets the pool and the network that things use when none is named: that is to be this one.
  for (const std::string& id : change.view().own_hosts) {
    if (change.view().find<v1::Host>(id) != nullptr) continue;
    return fail(ErrorCode::unavailable, "no token was made", "the manager's own machine is not on record yet",
                "try again in a moment");
  }
  if (change.view().host_tokens().size() >= kTokensMax) {
    return fail(ErrorCode::conflict, "no token was made", "1000 are open already", "wait until some have ended",
                "too_many_host_tokens");
  }
  v1::HostToken token;
  *token.mutable_meta()->mutable_created_at() = change.task.meta().created_at();
  token.mutable_meta()->set_id(make_id("hosttoken", change.rng()));
  token.mutable_meta()->set_schema_version(kSchemaVersion);
  token.set_secret_hash(request.secret_hash());
  token.set_user(change.options().actor);
  set_time(*token.mutable_expires_at(), change.now().unix_ms + kHostTokenMs);
  const std::string key = model::record_key(model::kHostToken, request.secret_hash());
  change.draft.compare(key, 0);
  change.draft.put(key, to_bytes(token));
  change.step("make a token that lets one machine become a host within an hour");
  return token;
}

Result<void> admit_host(Change& change, const v1::AdmitHostRequest& request) {
  auto token = find_token(change, request.secret_hash());
  if (!token) return fail(std::move(token.error()));
  NewHost host{.id = make_id(Kind<v1::Host>::id_prefix, change.rng()),
               .name = request.host_name(),
               .pool_path = request.pool_path()};
  for (const std::string& text : request.taken_subnets()) {
    auto subnet = model::parse_ipv4_subnet(text);
    if (!subnet) return fail(std::move(subnet.error()));
    host.taken_subnets.push_back(*subnet);
  }
  const auto [record, has_network] = make_joined_host(change.draft, host, change.now(), change.rng());
  change.name_target("host.join", record.meta());
  // Who let it in.
  change.task.set_actor((*token)->user());
  // In the same transaction: of two that come with one token, one finds it gone.
  const std::string key = model::record_key(model::kHostToken, request.secret_hash());
  change.draft.compare(key, change.view().host_tokens().at(request.secret_hash()).revision);
  change.draft.erase_key(key);
  change.step("make host " + record.meta().name() + ", with a pool" + (has_network ? " and a network" : "") +
              " of its own");
  if (!has_network) change.warn("no IPv4 segment is left: host " + record.meta().name() + " gets no network");
  change.succeed_at_once();
  return {};
}

Result<void> delete_host(Change& change, const v1::DeleteHostRequest& request) {
  auto target = change.target<v1::Host>("host.delete", request.id(), true);
  if (!target) return fail(std::move(target.error()));
  v1::Host& host = **target;
  const std::string& id = host.meta().id();
  if (change.view().own_hosts.contains(id)) {
    return fail(ErrorCode::conflict, Change::quoted<v1::Host>("cannot take leave of the", host.meta().name()),
                "it is the manager's own machine",
                "cordon it, to have no guests placed there: gantry host cordon " + host.meta().name(), "own_host");
  }
  GANTRY_CHECK(refuse_vms(change, host));
  const auto pools = own_pools(change, host);
  if (!pools) return fail(pools.error());
  for (const std::string& pool : *pools) {
    GANTRY_CHECK(refuse_on_host<v1::Volume>(change, host, pool));
    GANTRY_CHECK(refuse_on_host<v1::Image>(change, host, pool));
  }
  const auto networks = change.view().users_of_kind<v1::Network>(id);
  for (const std::string& network : networks) GANTRY_CHECK(refuse_on_host<v1::Vm>(change, host, network));
  GANTRY_CHECK(spare_shared_disks(change, host, request.machine_is_off()));
  change.mark_deleted(*host.mutable_meta());
  forget_things(change, *pools, networks);
  if (is_left_on_host(change.draft, id)) change.step("take its part of the networks that are on every host down");
  if (host.status().state() != v1::HostStatus::CONNECTED) {
    change.warn("host " + host.meta().name() +
                " is not connected: its networks, and guests that are being deleted, stay on that machine until it is "
                "turned off");
  }
  change.step("forget host " + host.meta().name() + " and refuse its certificate");
  return {};
}

}  // namespace gantry::control
