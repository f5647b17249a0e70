// Ids of records: a kind's prefix and twelve letters of 32 (60 random bits): "vm-4f7k2m9qzt3x".
#pragma once

#include <string>
#include <string_view>

#include "base/rng.h"

namespace gantry {

// `prefix` without the dash: "vm", "vol", "img", "net", "pool", "host", "task".
std::string make_id(std::string_view prefix, Rng& rng);

// Whether `text` has the form of an id with that prefix. Guards every use of an id as a file name.
bool is_id(std::string_view text, std::string_view prefix);

}  // namespace gantry
