// All records as they stand in the store at one revision, in memory, with the indexes decisions need. Fed by one range
// and the watch after it; nothing else changes it.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/host_subnet.h"
#include "control/records.h"
#include "policy/place.h"
#include "port/store.h"

namespace gantry::control {

// Of one kind. meta.revision of each record is filled in.
template <class Record>
struct Table {
  std::map<std::string, Record> by_id;
  std::map<std::string, std::string> id_by_name;
};

class View {
 public:
  using Ids = std::set<std::string>;

  // Not of the store: segments that hosts are in themselves, never chosen for a network.
  std::vector<HostSubnet> host_subnets;
  // Not of the store either: hosts in the manager's own process (ManagerOptions).
  std::set<std::string> own_hosts;
  // Nor this: how many virtual processors are promised for each of a host's.
  std::uint32_t cpu_overcommit = policy::kCpuOvercommit;

  // What changes make a difference to; ids are added.
  struct Touched {
    // The changed records, and the VMs whose own volumes changed.
    Ids records;
    // Records whose assignments say something else by it, though they are as they were (reach.h).
    Ids assignments;
  };
  // Replaces everything that is of the store, and touches all records.
  void load(const port::Range& range, Touched& touched);
  void apply(const port::ChangeBatch& batch, Touched& touched);

  [[nodiscard]] port::Revision revision() const { return revision_; }

  template <class Record>
  [[nodiscard]] const Table<Record>& all() const {
    return std::get<Table<Record>>(tables_);
  }
  // nullptr when there is none. The pointer holds until the next load() or apply().
  template <class Record>
  [[nodiscard]] const Record* find(const std::string& id) const {
    const auto& by_id = all<Record>().by_id;
    const auto found = by_id.find(id);
    return found == by_id.end() ? nullptr : &found->second;
  }
  // Whether a record of any kind has that id.
  [[nodiscard]] bool has(const std::string& id) const {
    return std::apply([&](const auto&... table) { return ((table.by_id.count(id) != 0) || ...); }, tables_);
  }
  // An id is tried first, then a name.
  template <class Record>
  [[nodiscard]] const Record* resolve(const std::string& name_or_id) const {
    if (const Record* record = find<Record>(name_or_id)) return record;
    const auto& names = all<Record>().id_by_name;
    const auto found = names.find(name_or_id);
    return found == names.end() ? nullptr : find<Record>(found->second);
  }

  // The ids of the records that refer to it (see references()).
  [[nodiscard]] const Ids& users_of(const std::string& id) const;
  // Those of one kind, in order.
  template <class Record>
  [[nodiscard]] std::vector<std::string> users_of_kind(const std::string& id) const {
    const Ids& users = users_of(id);
    const std::string prefix = std::string(Kind<Record>::id_prefix) + "-";
    std::vector<std::string> found;
    for (auto user = users.lower_bound(prefix); user != users.end() && user->rfind(prefix, 0) == 0; ++user) {
      found.push_back(*user);
    }
    return found;
  }

  // Memory that the host's guests hold (holds_memory_on), and how many guests do.
  [[nodiscard]] std::uint64_t reserved_mib(const std::string& host_id) const;
  [[nodiscard]] std::uint32_t guests(const std::string& host_id) const;
  // Their virtual processors.
  [[nodiscard]] std::uint64_t promised_cpus(const std::string& host_id) const;
  [[nodiscard]] std::uint64_t promised_bytes(const std::string& pool_id) const;
  // Whether a VM, volume or image has that number (model/uid.h).
  [[nodiscard]] bool has_uid(std::uint32_t uid) const;
  // How many hosts say that it is their address, and networks have it as their gateway's.
  [[nodiscard]] int hosts_at(const std::string& ipv4) const;
  [[nodiscard]] int gateways_at(const std::string& ipv4) const;
  // The networks that are on every host (segments.h).
  [[nodiscard]] std::vector<std::string> segments() const;
  // The VMs with a NIC in the network, by the hosts that they are on or on their way to.
  using VmsByHost = std::map<std::string, Ids>;
  [[nodiscard]] const VmsByHost& nics_in(const std::string& network_id) const;
  [[nodiscard]] bool has_mac(const std::string& mac) const { return taken("mac " + mac) != 0; }
  [[nodiscard]] bool has_address(const std::string& network_id, const std::string& ipv4) const;
  [[nodiscard]] bool has_port(const std::string& host_id, v1::PortForward::Protocol protocol, std::uint32_t port) const;

  struct Key {
    v1::IdempotencyKey record;
    port::Revision revision = 0;
  };
  // Idempotency keys, by store key.
  [[nodiscard]] const std::map<std::string, Key>& idempotency_keys() const { return idempotency_keys_; }
  // The same, by revision: the first is the oldest.
  [[nodiscard]] const std::map<port::Revision, std::string>& keys_by_age() const { return keys_by_age_; }
  struct Token {
    v1::HostToken record;
    port::Revision revision = 0;
  };
  // Tokens that machines may join with, by the hash of their secret.
  [[nodiscard]] const std::map<std::string, Token>& host_tokens() const { return host_tokens_; }
  // When the last change was accepted (kAdmissionKey); 0: never.
  [[nodiscard]] port::Revision admission_revision() const { return admission_revision_; }
  // What it wrote there.
  [[nodiscard]] const std::string& admission_word() const { return admission_word_; }

  // Time of making and id: the last is the newest.
  using TaskOrder = std::set<std::pair<Milliseconds, std::string>>;
  [[nodiscard]] const TaskOrder& tasks_by_time() const { return tasks_by_time_; }
  [[nodiscard]] std::size_t ended_tasks() const { return ended_tasks_; }

 private:
  struct HostUse {
    std::uint64_t memory_mib = 0;
    std::uint64_t cpus = 0;
    std::uint32_t guests = 0;
  };

  void change(const port::Change& change, Touched& touched);
  void change_key(const port::Change& change);
  void change_token(const port::Change& change);
  template <class Record>
  bool change_kind(const port::Change& change, Touched& touched);
  // Adds (+1) or takes away (-1) what follows from a record.
  template <class Record>
  void index(const Record& record, int sign);
  void account(const v1::Vm& vm, int sign);
  void account(const v1::Volume& volume, int sign);
  void account(const v1::Task& task, int sign);
  void account(const v1::Image& image, int sign);
  void account(const v1::Network& network, int sign);
  void account(const v1::Host& host, int sign);
  template <class Record>
  void account(const Record&, int) {}
  void account_nic(const v1::Vm& vm, const v1::VmNic& nic, int sign);
  void take(const std::string& what, int sign);
  [[nodiscard]] int taken(const std::string& what) const;

  EachKind<Table> tables_;
  std::map<std::string, Ids> users_;
  std::map<std::string, HostUse> host_use_;
  std::map<std::string, std::uint64_t> promised_;
  // "mac M", "address NETWORK IP", "port HOST PROTOCOL PORT", "uid N", "host-at IP", "gateway IP", and how many have
  // it.
  std::map<std::string, int> taken_;
  std::map<std::string, VmsByHost> nics_;
  std::map<std::string, Key> idempotency_keys_;
  std::map<port::Revision, std::string> keys_by_age_;
  std::map<std::string, Token> host_tokens_;
  port::Revision admission_revision_ = 0;
  std::string admission_word_;
  TaskOrder tasks_by_time_;
  std::size_t ended_tasks_ = 0;
  port::Revision revision_ = 0;
};

}  // namespace gantry::control
