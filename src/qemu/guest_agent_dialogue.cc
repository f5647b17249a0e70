#include "qemu/guest_agent_dialogue.h"

#include <utility>

#include "qemu/guest_agent_answers.h"

namespace gantry::qemu {
namespace {

constexpr char kDelimiter = '\xff';

}  // namespace

// The delimiter makes the agent forget half a request that a former connection left.
GuestAgentDialogue::GuestAgentDialogue(std::uint32_t sync_id)
    : sync_id_(sync_id),
      output_(std::string(1, kDelimiter) + R"({"execute":"guest-sync-delimited","arguments":{"id":)" +
              std::to_string(sync_id) + "}}\n") {}

std::string GuestAgentDialogue::take_output() { return std::exchange(output_, {}); }

Result<void> GuestAgentDialogue::feed(std::string_view bytes) {
  bytes_ += bytes.size();
  if (bytes_ > kBytesMax) {
    return fail(ErrorCode::corrupt, "the guest agent's answers cannot be used", "they are too long");
  }
  for (const char byte : bytes) {
    if (byte == kDelimiter) {
      line_.clear();
      delimited_ = true;
    } else if (byte == '\n') {
      take_line();
      line_.clear();
      delimited_ = false;
    } else {
      line_ += byte;
    }
  }
  return {};
}

void GuestAgentDialogue::take_line() {
  switch (question_) {
    case Question::sync:
      if (delimited_ && is_sync_answer(line_, sync_id_)) {
        facts_.set_agent_connected(true);
        ask(Question::host_name);
      }
      break;
    case Question::host_name:
      read_host_name(line_, facts_);
      ask(Question::operating_system);
      break;
    case Question::operating_system:
      read_operating_system(line_, facts_);
      ask(Question::interfaces);
      break;
    case Question::interfaces:
      read_interfaces(line_, facts_);
      ask(Question::none);
      break;
    case Question::none: break;
  }
}

void GuestAgentDialogue::ask(Question question) {
  question_ = question;
  switch (question) {
    case Question::host_name: output_ += "{\"execute\":\"guest-get-host-name\"}\n"; break;
    case Question::operating_system: output_ += "{\"execute\":\"guest-get-osinfo\"}\n"; break;
    case Question::interfaces: output_ += "{\"execute\":\"guest-network-get-interfaces\"}\n"; break;
    case Question::sync:
    case Question::none: break;
  }
}

}  // namespace gantry::qemu
