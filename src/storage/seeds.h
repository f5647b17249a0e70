// NoCloud seeds (https://cloudinit.readthedocs.io/en/22.4.2/topics/datasources/nocloud.html): ISO 9660 files with the
// volume label "cidata". Blocking.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"

namespace gantry::storage {

// Answers the file's path; empty for no files. Not synced: it is made anew before each start. A guest that has the
// older one open keeps it.
Result<std::string> make_seed(const std::string& directory, const std::string& vm_id, std::uint32_t uid,
                              const std::map<std::string, std::string>& files);
Result<void> delete_seed(const std::string& directory, const std::string& vm_id);

}  // namespace gantry::storage
