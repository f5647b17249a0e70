// Disks of guests that are copied to another file while the guest runs, which uses the copy from then on.
//
// Threads: as in port/hypervisor.h; these calls are calls for one guest like those there.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "port/hypervisor.h"

namespace gantry::port {

struct DiskCopyRequest {
  // Names it, in GuestObservation::disk_copy_id, once the guest uses the copy.
  std::string id;
  // Of the guest's disks.
  std::size_t index = 0;
  // It is there, as large as the disk, and the guest's user may write it.
  GuestDisk copy;
  // 0: as much as goes.
  std::uint64_t bytes_per_second_max = 0;
};

struct DiskCopyProgress {
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_left = 0;
};

class DiskCopier {
 public:
  virtual ~DiskCopier() = default;

  // Done when the guest uses the copy, and nothing has the other file open any more. On failure it uses the other as
  // before, and nothing has the copy open. Whichever it is, no write of the guest is lost, whatever crashes when.
  virtual void copy_disk(const std::string& vm_id, const DiskCopyRequest& request,
                         std::function<void(const DiskCopyProgress&)> progress, Done done) = 0;
  // May come while copy_disk() is under way, which fails soon then, unless the guest uses the copy already.
  virtual void stop_copying(const std::string& vm_id) = 0;
};

}  // namespace gantry::port
