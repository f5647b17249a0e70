#include "qemu/qmp_codec.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "model/printable_text.h"

namespace gantry::qemu {
namespace {

using Json = nlohmann::json;

// QEMU's own parser stops at 1,024; what we read is flat. Bounds the recursion of Json::dump.
constexpr std::size_t kDepthMax = 128;

// What QEMU says of an error is told to people and kept in the store.
constexpr std::size_t kWordsMax = 500;

// Leaves room for a million commands in each millisecond of a session.
constexpr unsigned kIdShift = 20;

bool nested_too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char letter = text[i];
    if (in_string) {
      if (letter == '\\') ++i;
      if (letter == '"') in_string = false;
    } else if (letter == '"') {
      in_string = true;
    } else if (letter == '{' || letter == '[') {
      if (++depth > kDepthMax) return true;
    } else if ((letter == '}' || letter == ']') && depth > 0) {
      --depth;
    }
  }
  return false;
}

std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

// Discarded when it is not JSON or nested too deep.
Json parse(std::string_view text) {
  if (nested_too_deep(text)) return Json(Json::value_t::discarded);
  return Json::parse(text.begin(), text.end(), nullptr, false);
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Error protocol_error(std::string cause) {
  return Error{ErrorCode::corrupt, "the control connection to QEMU broke", std::move(cause),
               "it is opened again; if this repeats, restart the guest", "qmp_protocol"};
}

Error command_error(const std::string& command, const Json& error) {
  const std::string description =
      error.is_object() ? model::printable_text(text_of(error, "desc"), kWordsMax) : std::string();
  const std::string kind = error.is_object() ? text_of(error, "class") : std::string();
  const auto code = kind == "CommandNotFound" ? ErrorCode::unsupported : ErrorCode::conflict;
  return Error{code, "QEMU refused " + command, description.empty() ? "it gave no reason" : description};
}

}  // namespace

QmpCodec::QmpCodec(EventHandler on_event, const Now& now, Milliseconds handshake_timeout_ms, std::size_t bytes_max)
    : on_event_(std::move(on_event)),
      bytes_max_(bytes_max),
      next_id_((static_cast<std::uint64_t>(now.monotonic_ms) << kIdShift) + 1) {
  execute("qmp_capabilities", {}, handshake_timeout_ms, now, [this](const Result<std::string>& reply) {
    if (reply) {
      ready_ = true;
    } else {
      close(reply.error());
    }
  });
}

void QmpCodec::execute(std::string_view command, std::string_view arguments, Milliseconds timeout_ms, const Now& now,
                       QmpReply reply) {
  if (closed_) {
    reply(fail(*closed_));
    return;
  }
  if (pending_.size() >= kPendingMax) {
    reply(fail(ErrorCode::unavailable, "cannot ask QEMU for " + std::string(command),
               "it answers none of " + std::to_string(kPendingMax) + " commands", "wait, or force the guest to stop"));
    return;
  }
  const std::uint64_t id = next_id_++;
  std::string& output = greeted_ ? output_ : held_output_;
  output += R"({"execute":)" + json_quote(command) + R"(,"id":)" + std::to_string(id);
  if (!arguments.empty()) output.append(R"(,"arguments":)").append(arguments);
  output += "}\n";
  pending_.emplace(id, Pending{std::string(command), now.monotonic_ms + timeout_ms, std::move(reply)});
}

Result<void> QmpCodec::feed(std::string_view bytes) {
  if (closed_) return fail(*closed_);
  std::size_t scanned = input_.size();
  input_.append(bytes);
  std::size_t begin = 0;
  while (!closed_) {
    const std::size_t end = input_.find('\n', std::max(begin, scanned));
    if (end == std::string::npos) break;
    // A copy, since a handler may feed no more but may close.
    const std::string line = input_.substr(begin, end - begin);
    begin = end + 1;
    scanned = begin;
    if (auto taken = take_line(line); !taken) {
      close(taken.error());
      return taken;
    }
  }
  if (closed_) return fail(*closed_);
  input_.erase(0, begin);
  if (input_.size() > bytes_max_) {
    close(protocol_error("QEMU sent a message of more than " + std::to_string(bytes_max_) + " bytes"));
    return fail(*closed_);
  }
  if (input_.empty()) input_.shrink_to_fit();
  return {};
}

Result<void> QmpCodec::take_line(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return {};
  Json message = parse(line);
  if (!message.is_object()) return fail(protocol_error("QEMU sent something that is no JSON object"));
  if (!greeted_) {
    if (!message.contains("QMP")) return {};  // of a session before
    greeted_ = true;
    output_ += std::exchange(held_output_, {});
    return {};
  }
  if (const auto event = message.find("event"); event != message.end() && event->is_string()) {
    const auto data = message.find("data");
    if (on_event_) on_event_({event->get<std::string>(), data != message.end() ? dump(*data) : "{}"});
    return {};
  }
  const auto id = message.find("id");
  if (id == message.end() || !id->is_number_unsigned()) return {};
  const auto number = id->get<std::uint64_t>();
  if (const auto value = message.find("return"); value != message.end()) {
    take_reply(number, dump(*value));
  } else if (const auto error = message.find("error"); error != message.end()) {
    const auto pending = pending_.find(number);
    if (pending != pending_.end()) take_reply(number, fail(command_error(pending->second.command, *error)));
  }
  return {};
}

void QmpCodec::take_reply(std::uint64_t id, Result<std::string> value) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;  // over its deadline
  const QmpReply reply = std::move(found->second.reply);
  pending_.erase(found);
  reply(std::move(value));
}

void QmpCodec::expire(const Now& now) {
  std::vector<std::uint64_t> late;
  for (const auto& [id, pending] : pending_) {
    if (pending.deadline_ms <= now.monotonic_ms) late.push_back(id);
  }
  for (const std::uint64_t id : late) {
    const auto found = pending_.find(id);
    if (found == pending_.end()) continue;
    take_reply(id, fail(ErrorCode::timed_out, "QEMU did not answer " + found->second.command + " in time",
                        "its process hangs or the machine is overloaded", "wait, or force the guest to stop"));
  }
}

std::optional<Milliseconds> QmpCodec::next_deadline_ms() const {
  std::optional<Milliseconds> first;
  for (const auto& [id, pending] : pending_) {
    if (!first || pending.deadline_ms < *first) first = pending.deadline_ms;
  }
  return first;
}

std::string QmpCodec::take_output() { return std::exchange(output_, {}); }

void QmpCodec::close(const Error& why) {
  if (closed_) return;
  closed_ = why;
  ready_ = false;
  std::string().swap(input_);
  auto pending = std::exchange(pending_, {});
  for (auto& [id, command] : pending) command.reply(fail(why));
}

std::optional<std::string> json_member(std::string_view object, std::string_view key) {
  const Json parsed = parse(object);
  if (!parsed.is_object()) return std::nullopt;
  const auto found = parsed.find(std::string(key));
  if (found == parsed.end()) return std::nullopt;
  return found->is_string() ? found->get<std::string>() : dump(*found);
}

std::string json_quote(std::string_view text) { return dump(Json(std::string(text))); }

}  // namespace gantry::qemu
