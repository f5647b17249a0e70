// One round of questions to the QEMU guest agent, without I/O: bytes in, bytes out. What answers is inside the guest
// and may be hostile: all it can do is to have itself described wrongly, within bounds. Protocol:
// https://www.qemu.org/docs/master/interop/qemu-ga-ref.html
//
// Threads: none of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::qemu {

class GuestAgentDialogue {
 public:
  // A guest that says more in one round is not listened to.
  static constexpr std::size_t kBytesMax = std::size_t{256} << 10U;

  // `sync_id` tells this round's answers from late ones of an earlier round: another for each.
  explicit GuestAgentDialogue(std::uint32_t sync_id);

  // What the guest sent, in pieces of any size. Fails with corrupt when the guest talks too much.
  Result<void> feed(std::string_view bytes);
  // To be sent to the guest, once.
  std::string take_output();
  // The agent is there and answers this round.
  [[nodiscard]] bool synced() const { return question_ != Question::sync; }
  // All questions were answered.
  [[nodiscard]] bool done() const { return question_ == Question::none; }
  // What the answers so far say; agent_connected when synced. A question the agent refuses leaves its facts empty.
  [[nodiscard]] const v1::GuestFacts& facts() const { return facts_; }

 private:
  enum class Question { sync, host_name, operating_system, interfaces, none };

  void take_line();
  void ask(Question question);

  std::uint32_t sync_id_;
  Question question_ = Question::sync;
  std::string output_;
  std::string line_;
  // The line began with the byte that no JSON text has.
  bool delimited_ = false;
  std::size_t bytes_ = 0;
  v1::GuestFacts facts_;
};

}  // namespace gantry::qemu
