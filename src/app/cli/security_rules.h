// Rules of security groups as the command line writes them.
#pragma once

#include <string>

#include "base/result.h"
#include "gantry/v1/security.pb.h"

namespace gantry::app {

// "in|out[:PROTOCOL[:PORT[-LAST][:PEER]]]": PROTOCOL any, tcp, udp or icmp; no PORT, or "*", for all; PEER a segment or
// the name of a group. "in:tcp:22:192.0.2.0/24", "in:icmp", "out", "in:tcp:8000-8099:web".
Result<v1::SecurityRule> parse_rule(const std::string& text);

// The same backwards; a group as it is in the rule.
std::string rule_text(const v1::SecurityRule& rule);

}  // namespace gantry::app
