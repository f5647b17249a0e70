// What users asked for: the truth that kills and deletions are held against, kept by those who ask and not by the
// manager.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/time.h"
#include "port/store.h"

namespace gantry::sim {

// Users of the rehearsal give no VM a timeout of its own: it is the agent's default.
inline constexpr Milliseconds kStopTimeoutMs = 60'000;

// How a record came into the store. What one commit made belongs together: a task and what it was to make, a VM and
// its own volumes.
struct Birth {
  std::string kind;
  std::string name;
  // That it was made for; empty: none.
  std::string host_id;
  port::Revision revision = 0;
  Milliseconds at_ms = 0;
  std::optional<Milliseconds> gone_ms = {};
};
// By id, also of what was removed since.
using Births = std::map<std::string, Birth>;

struct Wish {
  // Lets a guest of that VM be ended so long after it was asked to power off; 0: at once.
  std::string vm_name = {};
  Milliseconds timeout_ms = kStopTimeoutMs;
  // Deletes the thing of that kind and name; empty: nothing.
  std::string deletes_kind = {};
  std::string deletes_name = {};
  // Of a VM: not its own volumes.
  bool keeps_volumes = false;
  // Moves that VM to another host; empty: none.
  std::string moves_vm = {};
  // Takes the host of that name or id into maintenance, and its guests to others; empty: none.
  std::string empties_host = {};
  // Takes that task back; empty: none.
  std::string cancels_task_id = {};
};

class Wishes {
 public:
  // A request by that number is on its way, and may be carried out until it is answered.
  void ask(std::uint64_t number, Wish wish, Milliseconds now_ms);
  // `refused`: nothing of it may be done, nor have been done.
  void answer(std::uint64_t number, bool refused, Milliseconds now_ms);
  // How long a guest of that VM has at least to power off, by what was asked since its boot was committed.
  [[nodiscard]] Milliseconds shortest_stop_ms(const std::string& vm_name, Milliseconds boot_committed_ms) const;
  [[nodiscard]] bool asked_to_move(const std::string& vm_name) const;
  [[nodiscard]] bool asked_to_empty(const std::string& host_id, const std::string& host_name) const;
  [[nodiscard]] bool asked_to_delete(const Births& births, const std::string& id) const;

 private:
  struct Asked {
    Wish wish;
    Milliseconds asked_ms = 0;
    std::optional<Milliseconds> answered_ms = {};
    bool refused = false;
  };
  // While the thing was there.
  [[nodiscard]] static bool names(const Births& births, const Asked& asked, const Birth& thing);

  std::map<std::uint64_t, Asked> asked_;
};

}  // namespace gantry::sim
