// Two sentinel processes watch each other: one serves, the other stands by. They share the lock and the listening
// socket, hold the guests' guards both, and tell each other twice a second that they live. When the one that serves is
// gone or hangs, the other ends it and goes on where it was; when the other is, it is replaced. When both are gone at
// once, the kernel freezes the guests, until the agent has started another pair.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "app/sentinel/wire.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "qemu/event_io.h"

namespace gantry::sentinel {

inline constexpr Milliseconds kHeartbeatMs = 500;
// So many in a row that do not come: soon enough that no lease lapses before the other has taken over.
inline constexpr int kHeartbeatsMissedMax = 4;

// In the process that stands by these are the descriptors 3, 4 and 5.
struct SharedFiles {
  UniqueFd lock;
  UniqueFd listener;
};
inline constexpr int kLockDescriptor = 3;
inline constexpr int kListenerDescriptor = 4;
inline constexpr int kPartnerDescriptor = 5;

// The one that stands by, as the one that serves sees it.
class Partner {
 public:
  Partner(runtime::EventLoop& loop, const SharedFiles& files, std::string state_directory);
  Partner(const Partner&) = delete;
  Partner& operator=(const Partner&) = delete;

  // What it has to know now.
  void tell(const Handover& handover);
  // To be called every kHeartbeatMs.
  void beat();

 private:
  void start();
  void lose();

  runtime::EventLoop& loop_;
  const SharedFiles& files_;
  std::string state_directory_;
  std::string program_;
  std::string last_;
  UniqueFd pidfd_;
  std::shared_ptr<qemu::SocketStream> stream_;
  int missed_ = 0;
};

// What the one that stood by goes on with. The guards are held here until a Keeper has them.
struct Inheritance {
  Handover handover;
  std::map<std::string, UniqueFd> guards;
};

// Blocks while the partner lives. Nothing: there is nothing to guard any more.
std::optional<Inheritance> stand_by(const UniqueFd& partner, const std::string& state_directory);

}  // namespace gantry::sentinel
