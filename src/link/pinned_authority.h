// What a machine does first with a token: asks the manager for its chain of certificates and takes the authority that
// the token names, and no other. Nothing else is trusted, or said, before that.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "model/join_token.h"

namespace gantry::link {

// The authority's certificate in PEM form. permission_denied when the manager's chain has none with that fingerprint
// (lower-case hexadecimal SHA-256): it is another's. Blocks, each step at most `step_ms`.
Result<std::string> fetch_authority(const model::LinkAddress& address, std::string_view fingerprint,
                                    Milliseconds step_ms);

}  // namespace gantry::link
