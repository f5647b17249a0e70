// Where what is uploaded for an image is put: in the pool it will lie in; of a pool of Ceph, on this machine.
#pragma once

#include <string>

#include "base/result.h"
#include "gantry/v1/storage.pb.h"
#include "port/manager.h"

namespace gantry::app {

// Refused while the machine with that id, on which the manager runs, cannot use a pool that it shares. Waits for the
// manager, a few milliseconds as a rule; not to be called on its thread.
Result<std::string> find_upload_path(port::Manager& manager, const std::string& own_host_id,
                                     const std::string& ceph_directory, const v1::Image& image);

}  // namespace gantry::app
