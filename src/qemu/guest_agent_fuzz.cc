// The first byte is the length of the pieces; the rest is what a guest says in a round.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/printable_text.h"
#include "qemu/guest_agent_dialogue.h"

namespace {

constexpr std::size_t kTextBytesMax = 255;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_text(std::string_view text) {
  require(text.size() <= kTextBytesMax);
  require(gantry::model::printable_text(text, kTextBytesMax) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view said(reinterpret_cast<const char*>(data) + 1, size - 1);
  check_text(gantry::model::printable_text(said, kTextBytesMax));
  gantry::qemu::GuestAgentDialogue dialogue(1);
  const std::size_t piece_bytes = data[0] + std::size_t{1};
  for (std::size_t begin = 0; begin < said.size(); begin += piece_bytes) {
    if (!dialogue.feed(said.substr(begin, piece_bytes))) break;
  }
  require(!dialogue.done() || dialogue.synced());
  const gantry::v1::GuestFacts& facts = dialogue.facts();
  require(facts.agent_connected() == dialogue.synced());
  check_text(facts.host_name());
  check_text(facts.operating_system());
  check_text(facts.kernel());
  require(facts.interfaces_size() <= 32);
  for (const auto& interface : facts.interfaces()) {
    check_text(interface.name());
    check_text(interface.mac());
    require(interface.addresses_size() <= 32);
    for (const auto& address : interface.addresses()) check_text(address);
  }
  return 0;
}
