#include "app/daemon/store_move.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "app/daemon/store_calls.h"
#include "control/leadership.h"
#include "control/records.h"
#include "model/keys.h"
#include "store/fenced_store.h"

namespace gantry::app {
namespace {

// Holds where to.
const std::string kMovedKey = "/moved/store";
// etcd takes 128 writes and 1.5 MiB in one transaction.
constexpr std::size_t kWritesAtOnce = 100;
constexpr std::size_t kBytesAtOnce = 1U << 20U;
constexpr int kTries = 5;

using Records = std::map<std::string, std::string>;

tl::unexpected<Error> refuse(std::string cause, std::string next_step, std::string reason) {
  return fail(ErrorCode::conflict, "the records cannot be moved", std::move(cause), std::move(next_step),
              std::move(reason));
}

tl::unexpected<Error> silent(const std::string& which, const std::string& detail) {
  return fail(ErrorCode::unavailable, "the records are not moved yet",
              which + " store does not answer" + (detail.empty() ? "" : ": " + detail),
              "repeat the command: it goes on where it was");
}

struct Contents {
  Records records;
  // Who leads, or moves records there.
  std::optional<port::Entry> leader;
  // In the old store: where its records went.
  std::optional<std::string> moved_to;
};

Result<Contents> read(port::Store& store, const std::string& which) {
  for (int attempt = 0; attempt < kTries; ++attempt) {
    auto range = wait_for_range(store, {.first = "/"});
    if (!range) continue;
    Contents contents;
    for (port::Entry& entry : range->entries) {
      if (entry.key == control::leader_key()) {
        contents.leader = std::move(entry);
      } else if (entry.key == kMovedKey) {
        contents.moved_to = std::move(entry.value);
      } else {
        contents.records[entry.key] = std::move(entry.value);
      }
    }
    return contents;
  }
  return silent(which, "");
}

// Whether `there` may become `here`: it has nothing else.
Result<void> check_part(const Records& here, const Records& there) {
  for (const auto& [key, value] : there) {
    const auto own = here.find(key);
    if (own == here.end() || own->second != value) {
      return refuse("the new store has records of its own (" + key + ")",
                    "name an etcd that is empty; it should be Gantry's alone", "store_not_empty");
    }
  }
  return {};
}

class Mover {
 public:
  Mover(port::Store& from, port::Store& to, const StoreMove& move) : from_(from), to_(to), move_(move) {}

  Result<std::string> run() {
    auto here = read(from_, "the old");
    if (!here) return fail(here.error());
    auto there = read(to_, "the new");
    if (!there) return fail(there.error());
    if (auto may = check(*here, *there); !may) return fail(may.error());
    const std::string count = std::to_string(here->records.size()) + " records";
    if (move_.dry_run) {
      return "This would be done:\n  - copy " + count + " to " + move_.target + " (" +
             std::to_string(there->records.size()) + " are there already)\n  - mark " +
             "the old store as moved: gantryd does not start on it any more\n";
    }
    if (auto done = copy(*here, there->leader); !done) return fail(done.error());
    return count + " are in " + move_.target +
           ". The old store is kept, and marked as moved.\nNext: start gantryd with --store " + move_.target + "\n";
  }

 private:
  Result<void> check(const Contents& here, const Contents& there) const {
    v1::Leader leader;
    if (there.leader && !leader.ParseFromString(there.leader->value)) leader.set_name("somebody unknown");
    const bool ours = there.leader && leader.moves_from() == move_.host_id;
    if (here.moved_to && !ours) {
      return refuse("they were moved before, to " + *here.moved_to, "start gantryd with --store " + *here.moved_to,
                    "store_moved");
    }
    if (there.leader && !ours) {
      return refuse(leader.name() + (leader.moves_from().empty() ? " leads there" : " moves its records there"),
                    "name an etcd of this installation's own", "store_in_use");
    }
    if (!ours && !there.records.empty()) return check_part({}, there.records);
    return check_part(here.records, there.records);
  }

  Result<void> copy(const Contents& here, const std::optional<port::Entry>& claim) {
    auto fence = claim ? Result<port::Compare>(port::Compare{claim->key, claim->modified}) : take_lead();
    if (!fence) return fail(fence.error());
    store::FencedStore fenced(to_, *fence);
    if (auto filled = fill(fenced, here.records); !filled) {
      // What was somebody else's before this began stays theirs.
      if (!claim && filled.error().code == ErrorCode::conflict) (void)give_up_lead(*fence);
      return filled;
    }
    if (!here.moved_to) {
      auto marked = commit(from_, {{{kMovedKey, 0}}, {{.key = kMovedKey, .value = move_.target}}}, "the old");
      if (!marked) return marked;
    }
    return give_up_lead(*fence);
  }

  Result<void> give_up_lead(const port::Compare& lead) {
    return commit(to_, {{lead}, {{.kind = port::Write::Kind::erase, .key = lead.key, .value = {}}}}, "the new");
  }

  Result<port::Compare> take_lead() {
    v1::Leader self;
    self.set_name(move_.host_name);
    self.set_moves_from(move_.host_id);
    control::set_time(*self.mutable_since(), move_.now_unix_ms);
    const std::string key = control::leader_key();
    const auto done = commit(to_, {{{key, 0}}, {{.key = key, .value = self.SerializeAsString()}}}, "the new");
    // Perhaps it was ours all the same: what is there now says.
    const auto now = read(to_, "the new");
    if (!now) return fail(now.error());
    if (!now->leader || now->leader->value != self.SerializeAsString()) {
      if (!done) return fail(done.error());
      return refuse("a manager has begun to lead there", "stop it, and name an empty etcd", "store_in_use");
    }
    return port::Compare{key, now->leader->modified};
  }

  // Until nothing is missing, which is read anew whenever it is not sure.
  Result<void> fill(port::Store& to, const Records& here) {
    for (int troubles = 0; troubles < kTries;) {
      const auto there = read(to, "the new");
      if (!there) return fail(there.error());
      if (auto part = check_part(here, there->records); !part) return part;
      if (there->records.size() == here.size()) return {};
      if (!write_missing(to, here, there->records)) ++troubles;
    }
    return silent("the new", trouble_);
  }

  // False when a commit met trouble.
  bool write_missing(port::Store& to, const Records& here, const Records& there) {
    port::Txn txn;
    std::size_t bytes = 0;
    const auto flush = [&] {
      if (txn.writes.empty()) return true;
      const auto result = wait_for_commit(to, std::exchange(txn, {}));
      bytes = 0;
      trouble_ = result.detail;
      return result.outcome == port::CommitOutcome::committed;
    };
    for (const auto& [key, value] : here) {
      if (there.contains(key)) continue;
      const std::size_t size = key.size() * 2 + value.size();
      const bool full = txn.writes.size() >= kWritesAtOnce || bytes + size > kBytesAtOnce;
      if (full && !flush()) return false;
      txn.compares.push_back({key, 0});
      txn.writes.push_back({.key = key, .value = value});
      bytes += size;
    }
    return flush();
  }

  // A conflict after doubt: it was written already.
  static Result<void> commit(port::Store& store, const port::Txn& txn, const std::string& which) {
    std::string trouble;
    bool in_doubt = false;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const auto result = wait_for_commit(store, txn);
      if (result.outcome == port::CommitOutcome::committed) return {};
      if (result.outcome == port::CommitOutcome::conflict) {
        if (in_doubt) return {};
        return refuse("somebody else has written to " + which + " store meanwhile", "repeat the command",
                      "store_in_use");
      }
      in_doubt = in_doubt || result.outcome == port::CommitOutcome::unknown;
      trouble = result.detail;
    }
    return silent(which, trouble);
  }

  port::Store& from_;
  port::Store& to_;
  const StoreMove& move_;
  std::string trouble_;
};

}  // namespace

Result<std::string> move_records(port::Store& from, port::Store& to, const StoreMove& move) {
  return Mover(from, to, move).run();
}

Result<void> refuse_moved(port::Store& store) {
  const auto contents = wait_for_range(store, {.first = kMovedKey, .end = kMovedKey + '\0', .limit = 1});
  if (!contents) return fail(ErrorCode::unavailable, "this machine's records cannot be read");
  if (contents->entries.empty()) return {};
  const std::string& target = contents->entries.front().value;
  return fail(ErrorCode::conflict, "gantryd does not start on the records in this machine's state directory",
              "they were moved to " + target, "start it with --store " + target, "store_moved");
}

Result<void> refuse_left_behind(port::Store& store) {
  const auto contents = read(store, "this machine's own");
  if (!contents) return fail(contents.error());
  if (contents->moved_to) return {};
  for (const std::string_view kind : {model::kVm, model::kVolume, model::kImage}) {
    const std::string prefix = model::prefix_of(kind);
    const auto first = contents->records.lower_bound(prefix);
    if (first == contents->records.end() || !first->first.starts_with(prefix)) continue;
    return fail(ErrorCode::conflict, "gantryd does not start with --store yet",
                "this machine has records of its own that are not there, of a " + std::string(kind) + " for one",
                "move them: gantry admin migrate-store; or start without --store", "records_left_behind");
  }
  return {};
}

}  // namespace gantry::app
