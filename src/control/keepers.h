// Who keeps what lies in a shared pool. Every image and volume there has one keeper: the one host that makes, changes
// and deletes it. That of a VM's volume is the VM's host, so that nobody else touches what a guest may have open. What
// stands alone has any host that can; another takes over only when there is something to do and its keeper is lost or
// cannot use the pool.
//
// Whatever two hosts do at once because one was taken for lost does no harm (src/storage): to make the same thing is to
// make it once, and to delete it twice is to delete it. To grow a volume is the exception: its keeper stays until that
// is done.
#pragma once

#include <string>

#include "control/machines.h"

namespace gantry::control {

struct KeeperWish {
  // Hosts that know this recipe come first.
  std::string recipe = {};
  // The manager's own machine comes first.
  bool upload = false;
};

// Among the connected hosts that have the pool ready; of equals the one that keeps the least. Empty: there is none now.
std::string choose_keeper(const View& view, const v1::Pool& pool, const KeeperWish& wish = {});

// With the next epoch, if that is another host than before.
void give_to_keeper(v1::Volume& volume, const std::string& host_id);
void give_to_keeper(v1::Image& image, const std::string& host_id);

// Before something is asked of it: what its keeper is done with goes to another when the keeper is not there.
void replace_lost_keeper(Draft& draft, v1::Volume& volume);
void replace_lost_keeper(Draft& draft, v1::Image& image);

// A host that is not connected is taken for lost after that time: a daemon that is restarted loses nothing.
inline constexpr Milliseconds kKeeperPatienceMs = 10'000;
// Whether it will do nothing more: it is to leave, or is lost. `record_id` is looked at again while that is not
// certain.
bool is_lost(MachineContext& context, const v1::Host& host, const std::string& record_id);

// Gives that record, or each volume of that VM, to the keeper it should have. Those of a host or pool that changed are
// looked at soon.
void run_keepers(MachineContext& context, const std::string& id);

}  // namespace gantry::control
