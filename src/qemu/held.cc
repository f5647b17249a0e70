#include "qemu/held.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/printable_text.h"

namespace gantry::qemu {
namespace {

using Json = nlohmann::json;

// QEMU may say what it likes, and a problem is kept in the store.
constexpr std::size_t kDiskBytesMax = 300;

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The file of the first disk that had no space, and its node's name where there is no file.
std::string full_disk(std::string_view blocks) {
  const Json all = Json::parse(blocks.begin(), blocks.end(), nullptr, false);
  if (!all.is_array()) return {};
  for (const auto& block : all) {
    if (!block.is_object() || text_of(block, "io-status") != "nospace") continue;
    const auto inserted = block.find("inserted");
    if (inserted == block.end() || !inserted->is_object()) continue;
    const std::string file = text_of(*inserted, "file");
    return file.empty() ? text_of(*inserted, "node-name") : file;
  }
  return {};
}

}  // namespace

v1::Problem why_held(const std::string& vm_id, std::string_view run_state, std::string_view blocks) {
  v1::Problem problem;
  if (run_state == "io-error") {
    const std::string disk = model::printable_text(full_disk(blocks), kDiskBytesMax);
    // A volume's file has its id as name.
    const std::string name = std::filesystem::path(disk).stem().string();
    problem.set_code("disk_full");
    problem.set_summary("virtual machine " + vm_id +
                        " waits: " + (name.empty() ? "one of its disks" : "its disk " + name) + " cannot be written");
    problem.set_cause("no space left on the file system of its pool" + (disk.empty() ? "" : " (" + disk + ")"));
    problem.set_next_step("free some space there: the guest goes on by itself");
  } else if (run_state == "internal-error") {
    problem.set_code("guest_stopped");
    problem.set_summary("QEMU stopped virtual machine " + vm_id);
    problem.set_cause("it met an error inside that it cannot go on from; its error.log may tell more");
    problem.set_next_step("restart the VM");
  }
  return problem;
}

}  // namespace gantry::qemu
