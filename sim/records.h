// Every committed record, as the store itself tells it: what the checks hold everything else against.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "gantry/v1/host.pb.h"
#include "gantry/v1/network.pb.h"
#include "gantry/v1/rule.pb.h"
#include "gantry/v1/security.pb.h"
#include "gantry/v1/storage.pb.h"
#include "gantry/v1/task.pb.h"
#include "gantry/v1/vm.pb.h"
#include "port/store.h"
#include "sim/trace.h"
#include "sim/wishes.h"

namespace gantry::sim {

class Records {
 public:
  Records(port::Store& store, Trace& trace, const Wishes& wishes);

  std::map<std::string, v1::Host> hosts;
  std::map<std::string, v1::Vm> vms;
  std::map<std::string, v1::Volume> volumes;
  std::map<std::string, v1::Image> images;
  std::map<std::string, v1::Pool> pools;
  // Also those that are gone.
  std::map<std::string, v1::Pool> shared_pools;
  std::map<std::string, v1::Network> networks;
  std::map<std::string, v1::SecurityGroup> security_groups;
  std::map<std::string, v1::Rule> rules;
  std::map<std::string, v1::Task> tasks;

  // The last revision that changed more than a host's own record, whose heartbeats never end.
  [[nodiscard]] port::Revision last_news() const { return last_news_; }
  // Ever, also if it was removed since.
  [[nodiscard]] bool was_committed(const std::string& id) const { return births_.contains(id); }
  // When it came into the store; 0 when it never did.
  [[nodiscard]] Milliseconds committed_at_ms(const std::string& id) const {
    const auto found = births_.find(id);
    return found == births_.end() ? 0 : found->second.at_ms;
  }
  [[nodiscard]] bool knows_pool_ready(const std::string& host_id, const std::string& path) const;
  // The one host that the record of that id has to do with, as it was committed, also when it is gone since; empty:
  // none.
  [[nodiscard]] std::string home_of(const std::string& id) const;
  // Whether that host was ever committed as the keeper of that thing.
  [[nodiscard]] bool was_keeper(const std::string& id, const std::string& host_id) const {
    return keepers_.contains({id, host_id});
  }
  // Whether a move of that VM to that host was ever committed, and whether a committed record said that something of it
  // may be left there.
  [[nodiscard]] bool was_target(const std::string& vm_id, const std::string& host_id) const {
    return targets_.contains({vm_id, host_id});
  }
  [[nodiscard]] bool was_left(const std::string& vm_id, const std::string& host_id) const {
    return left_.contains({vm_id, host_id});
  }
  // Whether a host has to do with a VM, as the manager knows it: which may be some time behind.
  [[nodiscard]] bool concerns(const std::string& vm_id, const std::string& host_id) const;
  // Whether that boot was ever said to have crashed.
  [[nodiscard]] bool was_crashed(const std::string& vm_id, const std::string& boot_id) const {
    return crashed_.contains({vm_id, boot_id});
  }
  // What the pools of a host hold in truth; shared ones are no host's.
  void set_capacity(const std::string& host_id, std::uint64_t pool_gib) { capacity_gib_[host_id] = pool_gib; }
  // The mark is in the store. That users asked for it was checked when it came there.
  [[nodiscard]] bool is_to_be_deleted(const std::string& id) const { return deleting_.contains(id); }
  // Once every request is answered: what was refused counts no more.
  void check_deletions() const;

 private:
  void apply(const port::ChangeBatch& batch);
  template <class Record>
  void change(std::map<std::string, Record>& records, const port::Change& change, const std::string& kind,
              const std::string& id);
  [[nodiscard]] bool may_go(const std::string& id) const;
  void note_home(const std::string& id, const std::string& host_id, bool moves);
  // As users asked: its guests may be moved.
  [[nodiscard]] bool is_emptied(const std::string& host_id) const;
  // With that one, which begins.
  void check_moves_at_once(const v1::Vm& next);
  void check_move(const v1::Vm* before, const v1::Vm& after);
  void note_epoch(const std::string& vm_id, std::uint64_t epoch, const std::string& host_id);
  void check_task(const v1::Task* before, const v1::Task& after);
  void note_copy(const v1::Volume& volume);
  [[nodiscard]] bool goes_by_move(const v1::Volume& volume) const;
  void check_deletion(const std::string& id) const;
  void check_dropped();
  // What its volumes may grow to, by pool.
  [[nodiscard]] std::map<std::string, std::uint64_t> promised_bytes(bool with_status) const;
  void check_promises(const std::map<std::string, std::uint64_t>& asked_before);

  Trace& trace_;
  const Wishes& wishes_;
  Births births_;
  std::set<std::string> deleting_;
  // Ids with hosts.
  std::set<std::pair<std::string, std::string>> keepers_;
  std::set<std::pair<std::string, std::string>> targets_;
  std::set<std::pair<std::string, std::string>> left_;
  // Tasks that may move a guest because its host was emptied then.
  std::set<std::string> evacuations_;
  // VMs that such a move began of in the revision that is read.
  std::set<std::string> begun_;
  // VMs and hosts, with when a committed record last named both.
  std::map<std::pair<std::string, std::string>, Milliseconds> concerned_;
  // VMs with boots.
  std::set<std::pair<std::string, std::string>> crashed_;
  // Volumes that were ever copied, or were a copy; those of them that a move was the end of, be it of the disk or of
  // its guest; and those that it was in the commit that is looked at.
  std::set<std::string> copied_;
  std::set<std::string> moved_away_;
  std::set<std::string> dropped_;
  // VMs and epochs with hosts.
  std::map<std::pair<std::string, std::uint64_t>, std::string> epochs_;
  std::map<std::string, std::string> homes_;
  std::map<std::string, std::uint64_t> capacity_gib_;
  // Pools whose capacity the manager knew before the commit that is looked at.
  std::set<std::string> inspected_;
  port::Revision revision_ = 0;
  port::Revision last_news_ = 0;
  std::unique_ptr<port::Watch> watch_;
};

}  // namespace gantry::sim
