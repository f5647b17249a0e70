// Calls of a store that are waited for; not on the thread that it answers on.
#pragma once

#include "port/store.h"

namespace gantry::app {

Result<port::Range, port::StoreError> wait_for_range(port::Store& store, port::RangeRequest request);
port::CommitResult wait_for_commit(port::Store& store, port::Txn txn);

}  // namespace gantry::app
