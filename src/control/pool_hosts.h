// Which hosts have a pool: one, or of a shared pool several.
#pragma once

#include <string>
#include <vector>

#include "control/view.h"

namespace gantry::control {

bool has_pool(const View& view, const std::string& host_id, const v1::Pool& pool);
// By id.
std::vector<std::string> hosts_of_pool(const View& view, const v1::Pool& pool);
// The pools that a host has, by id.
std::vector<std::string> pools_of_host(const View& view, const std::string& host_id);

// What a host told of a shared pool; nullptr: nothing yet.
const v1::PoolOnHost* pool_on_host(const v1::Pool& pool, const std::string& host_id);
// Why a host that has it cannot use it; empty: it can, as far as is known.
std::string pool_obstacle(const v1::Pool& pool, const std::string& host_id);
// It was READY once: what says whose directory it is was written.
bool was_ready(const v1::Pool& pool);
// Of a shared pool that was never READY: the one host that makes it. Were several to begin, one of them might write in
// a directory that is not the shared one. Empty: there is none, or it is made.
std::string maker_of(const v1::Pool& pool);

// "pool fast on host alpha", "shared pool fast".
std::string pool_text(const View& view, const v1::Pool& pool);

}  // namespace gantry::control
