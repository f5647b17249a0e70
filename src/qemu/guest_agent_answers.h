// The guest agent's answers, each one line of JSON from inside the guest: anything may be in it, and what is no proper
// answer is passed over.
#pragma once

#include <cstdint>
#include <string_view>

#include "gantry/v1/vm.pb.h"

namespace gantry::qemu {

bool is_sync_answer(std::string_view line, std::uint32_t sync_id);
void read_host_name(std::string_view line, v1::GuestFacts& facts);
void read_operating_system(std::string_view line, v1::GuestFacts& facts);
// Interfaces with a MAC or addresses; addresses of the guest to itself are left out, and those that lead no further
// than the next router come last.
void read_interfaces(std::string_view line, v1::GuestFacts& facts);

}  // namespace gantry::qemu
