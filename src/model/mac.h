// MAC addresses of guests' network cards, as text: "52:54:00:1a:2b:3c".
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/rng.h"

namespace gantry::model {

// A random one within 52:54:00, the locally administered range QEMU uses. 24 random bits: the caller checks that no
// other card has it.
std::string make_mac(Rng& rng);

// In lower case. invalid_argument unless it is six bytes in hexadecimal with ":" between them, unicast and not zero.
Result<std::string> parse_mac(std::string_view text);

}  // namespace gantry::model
