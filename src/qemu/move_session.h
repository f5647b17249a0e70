// What the two sides of a move, and its end, share: a conversation with one QEMU in steps. Internal to src/qemu.
//
// Threads: the loop's.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/time.h"
#include "gantry/v1/vm.pb.h"
#include "qemu/qmp_codec.h"

namespace gantry::qemu {

// Neither is called any more once the guest is gone.
struct MoveSession {
  // `arguments`: a JSON object's text or empty.
  std::function<void(std::string_view command, const std::string& arguments, QmpReply reply)> execute;
  std::function<void(Milliseconds delay_ms, std::function<void()> work)> after;
  std::function<Milliseconds()> now_ms;
  // QEMU then finds that its peer is gone, though it answers nobody while it waits for it.
  std::function<void(const v1::MoveAddress& target)> break_connections;
};

// While something is about to happen.
inline constexpr Milliseconds kMoveLookSoonMs = 20;

// What QEMU says is not to be trusted: any of it may be missing or of another type.
nlohmann::ordered_json parse_answer(const std::string& text);
std::uint64_t number_in(const nlohmann::ordered_json& json, const char* key);
// Printable, of limited length.
std::string text_in(const nlohmann::ordered_json& json, const char* key);
// null when there is none.
const nlohmann::ordered_json& member_of(const nlohmann::ordered_json& json, const char* key);

// The mirror job of one disk, and the node it writes to.
std::string move_job(std::size_t index);
bool is_move_job(const std::string& id);

// The state of a migration that is neither over nor not begun.
bool is_migrating(const std::string& status);
// By postcopy, and its connection ended: neither side can go on.
bool is_postcopy_broken(const std::string& status);

}  // namespace gantry::qemu
