// What holds for every store: which transactions make sense, and which keys a range or a watch covers.
#pragma once

#include <string>
#include <string_view>

#include "port/store.h"

namespace gantry::store {

// Why `txn` can never be committed ("invalid: ..."); empty when it can. Stores answer such a commit as unavailable:
// nothing was written.
std::string invalid_reason(const port::Txn& txn);

// The first key behind all keys that begin with `prefix`; empty: there is none.
std::string prefix_end(std::string_view prefix);

// The end of a request's keys, exclusive; empty: to the last key.
std::string range_end(const port::RangeRequest& request);

// The changes of `batch` to keys that begin with `prefix`.
port::ChangeBatch changes_below(const port::ChangeBatch& batch, std::string_view prefix);

}  // namespace gantry::store
