// Volumes that are copied: for a disk that goes to another pool, or for a VM that goes to a host which does not reach
// its disks. The copy is a volume of its own, which users can do nothing with, until it takes the other's place or goes
// again.
#pragma once

#include <string>
#include <vector>

#include "control/change.h"

namespace gantry::control {

// Puts a blank copy of the volume into the draft, as large and of the same format: what its image held is copied with
// the rest. In a shared pool `host_id` keeps it.
Result<v1::CopiedDisk> make_copy(Change& change, const v1::Volume& volume, const v1::Pool& pool,
                                 const std::string& host_id);

// The guest has the copy: that takes the other's place in the VM, its name and its labels. The other is deleted, as
// that task asked. Of a VM that is being deleted both go with it.
void switch_to_copy(Draft& draft, v1::Vm& vm, const v1::CopiedDisk& disk, const std::string& task_id, Now now);
// The same in a spec alone. What the guest found in the disk stays what it was, by which it may know it.
void put_in_place(v1::VmSpec& spec, const v1::CopiedDisk& copied);
// Nothing came of the copy.
void drop_copy(Draft& draft, const v1::CopiedDisk& disk, const std::string& task_id, Now now);

// Those of the moves under way.
std::vector<v1::CopiedDisk> copied_disks(const v1::Vm& vm);

// A conflict while the volume is copied, or is a copy.
Result<void> refuse_copied(const View& view, const v1::Volume& volume);
// Before a VM is deleted: a conflict while a disk that outlives it is copied. Which of the two is the guest's is known
// only once its host said so.
Result<void> refuse_copied_to_stay(const View& view, const v1::Vm& vm, bool keep_volumes);

}  // namespace gantry::control
