// Ceph's own programs (rbd, rados and ceph of Debian's package ceph-common) as calls. All of them block, none for ever:
// the configuration that the storage writes bounds how long they wait for Ceph. No key is on their command lines.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/rbd_location.h"
#include "storage/job.h"

namespace gantry::storage::rbd {

// What they print. Errors: not_found, already_exists; conflict for what is in use; out_of_space; permission_denied
// where the user may not; unavailable with the reason pool_unusable where Ceph does not answer or refuses the user's
// key, and where the program is not installed.
Result<std::string> call_rbd(const model::RbdLocation& pool, std::vector<std::string> arguments, const Job& job = {});
// The same for what takes as long as there is much to write or to remove.
Result<std::string> call_rbd_at_length(const model::RbdLocation& pool, std::vector<std::string> arguments,
                                       const Job& job);
Result<std::string> call_rados(const model::RbdLocation& pool, std::vector<std::string> arguments,
                               std::string input = {});
Result<std::string> call_ceph(const model::RbdLocation& pool, std::vector<std::string> arguments);

// That QEMU of this host has what it reaches Ceph with: Debian's package qemu-block-extra. unavailable with the reason
// pool_unusable.
Result<void> check_qemu();

// "vms", "vms/blue".
std::string place_text(const model::RbdLocation& pool);
// As `rbd` takes it: "vms/blue/vol-1", "vms/vol-1@gantry".
std::string image_text(const model::RbdLocation& pool, std::string_view image);

// What such a program said, without its log's lines: for people. Visible for tests.
std::string words_of(std::string_view output);

// Of pool_unusable.
Error unusable_pool(const model::RbdLocation& pool, std::string cause, std::string next_step);

// Under `summary`, with a full pool's own words and stable reason.
Error explain_ceph(Error error, const std::string& summary, const model::RbdLocation& pool);

}  // namespace gantry::storage::rbd
