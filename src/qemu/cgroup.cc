#include "qemu/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <utility>

#include "base/unique_fd.h"
#include "qemu/cgroup_mounts.h"
#include "runtime/files.h"

namespace gantry::qemu {
namespace {

constexpr std::array kControllersNeeded = {"cpu", "memory", "pids"};
constexpr std::uint64_t kMiB = 1U << 20U;

// QEMU's worker threads: up to 64 for each of some pools, one for each processor, a few more.
constexpr std::uint32_t kProcessesBeside = 512;

struct Setting {
  std::string file;
  std::string value;
};

// No quota: a guest may use what nobody else wants.
Setting setting_for(std::string_view controller, bool v2, std::uint32_t cpus, std::uint32_t memory_mib) {
  if (controller == "cpu") {
    return v2 ? Setting{"cpu.weight", std::to_string(std::clamp<std::uint64_t>(std::uint64_t{cpus} * 100, 1, 10'000))}
              : Setting{"cpu.shares",
                        std::to_string(std::clamp<std::uint64_t>(std::uint64_t{cpus} * 1024, 2, 262'144))};
  }
  if (controller == "memory") {
    return {v2 ? "memory.max" : "memory.limit_in_bytes", std::to_string(cgroup_memory_limit_bytes(memory_mib))};
  }
  return {"pids.max", std::to_string(kProcessesBeside + std::uint64_t{cpus})};
}

// An id is used as a file name: nothing that leads elsewhere.
Result<void> check_id(std::string_view vm_id) {
  if (!vm_id.empty() && vm_id.front() != '.' && vm_id.find('/') == std::string_view::npos) return {};
  return fail(ErrorCode::invalid_argument, "\"" + std::string(vm_id) + "\" cannot be the name of a control group");
}

Error error_for(const std::string& what, int error_number) {
  Error error = runtime::errno_error(what, error_number);
  switch (error_number) {
    case EACCES:
    case EPERM:
    case EROFS:
      error.code = ErrorCode::permission_denied;
      error.next_step = "run gantryd as root, or give its container the right to write control groups";
      break;
    case ENOENT:
    case ESRCH: error.code = ErrorCode::not_found; break;
    case EBUSY: error.code = ErrorCode::conflict; break;
    default: break;
  }
  return error;
}

Result<void> write_setting(const std::string& path, const std::string& value) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!file.valid() || ::write(file.get(), value.data(), value.size()) < 0) {
    return fail(error_for("cannot set " + path + " to " + value, errno));
  }
  return {};
}

Result<void> make_group(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return fail(error_for("cannot make the control group " + path, errno));
}

// Those needed and offered, in the order of kControllersNeeded.
std::vector<std::string> needed_among(const std::vector<std::string>& offered) {
  std::vector<std::string> found;
  for (const char* controller : kControllersNeeded) {
    if (std::find(offered.begin(), offered.end(), controller) != offered.end()) found.emplace_back(controller);
  }
  return found;
}

std::string join_words(const std::vector<std::string>& words, std::string_view before, std::string_view between) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += between;
    text += before;
    text += word;
  }
  return text;
}

}  // namespace

std::uint64_t cgroup_memory_limit_bytes(std::uint32_t guest_memory_mib) {
  const std::uint64_t guest_mib = guest_memory_mib;
  return (guest_mib + guest_mib / 8 + 1536) * kMiB;
}

Cgroups Cgroups::detect(std::string suffix) {
  const Result<std::string> mountinfo = runtime::read_file("/proc/self/mountinfo");
  Cgroups groups;
  if (mountinfo) {
    groups = detect_in(*mountinfo);
  } else {
    groups.trouble_ = "no control groups: " + mountinfo.error().to_text();
  }
  groups.suffix_ = std::move(suffix);
  return groups;
}

Cgroups Cgroups::detect_in(std::string_view mountinfo) {
  Cgroups groups;
  std::vector<Hierarchy> v1;
  std::vector<std::string> v1_controllers;
  std::string not_writable;
  for (const CgroupMount& mount : parse_cgroup_mounts(mountinfo)) {
    const auto offered =
        mount.v2 ? split_words(runtime::read_file(mount.path + "/cgroup.controllers").value_or("")) : mount.controllers;
    const std::vector<std::string> needed = needed_among(offered);
    if (needed.empty()) continue;
    if (::access(mount.path.c_str(), W_OK) != 0) {
      not_writable = mount.path;
    } else if (mount.v2) {
      groups.version_ = "v2";
      groups.hierarchies_ = {{mount.path, needed}};
    } else if (std::find(v1_controllers.begin(), v1_controllers.end(), needed.front()) == v1_controllers.end()) {
      v1.push_back({mount.path, needed});
      v1_controllers.insert(v1_controllers.end(), needed.begin(), needed.end());
    }
  }
  // A controller is in one of the two only; those of v2 there means that v1 is not in use.
  if (groups.version_.empty() && !v1.empty()) {
    groups.version_ = "v1";
    groups.hierarchies_ = std::move(v1);
  }
  std::vector<std::string> missing(kControllersNeeded.begin(), kControllersNeeded.end());
  for (const Hierarchy& hierarchy : groups.hierarchies_) {
    for (const std::string& controller : hierarchy.controllers) std::erase(missing, controller);
  }
  if (missing.empty()) return groups;
  groups.trouble_ = "guests are not limited by the control group controllers " + join_words(missing, "", ", ") + ": ";
  groups.trouble_ += not_writable.empty() ? "they are not mounted" : not_writable + " cannot be written";
  return groups;
}

std::string Cgroups::group(const Hierarchy& hierarchy, std::string_view vm_id) const {
  return hierarchy.root + "/gantry/" + std::string(vm_id) + suffix_;
}

// All guests together stand against each of the host's own services: ten times its weight, so that a busy service
// starves no guest, and a room of busy guests leaves the services enough to go on.
Result<void> Cgroups::set_weight_of_all(const Hierarchy& hierarchy, const std::string& all) const {
  const auto& controllers = hierarchy.controllers;
  if (std::find(controllers.begin(), controllers.end(), "cpu") == controllers.end()) return {};
  return version_ == "v1" ? write_setting(all + "/cpu.shares", "10240") : write_setting(all + "/cpu.weight", "1000");
}

Result<void> Cgroups::prepare(const Hierarchy& hierarchy) const {
  const std::string all = hierarchy.root + "/gantry";
  if (version_ == "v1") return make_group(all).and_then([&] { return set_weight_of_all(hierarchy, all); });
  const std::string enable = join_words(hierarchy.controllers, "+", " ");
  return write_setting(hierarchy.root + "/cgroup.subtree_control", enable)
      .and_then([&] { return make_group(all); })
      .and_then([&] { return write_setting(all + "/cgroup.subtree_control", enable); })
      .and_then([&] { return set_weight_of_all(hierarchy, all); });
}

Result<void> Cgroups::make_for_guest(std::string_view vm_id, std::uint32_t cpus, std::uint32_t memory_mib) const {
  Result<void> done = check_id(vm_id);
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string path = group(hierarchy, vm_id);
    done = done.and_then([&] { return prepare(hierarchy); }).and_then([&] { return make_group(path); });
    for (const std::string& controller : hierarchy.controllers) {
      const Setting setting = setting_for(controller, version_ == "v2", cpus, memory_mib);
      done = done.and_then([&] { return write_setting(path + "/" + setting.file, setting.value); });
    }
  }
  return done;
}

Result<void> Cgroups::join(std::string_view vm_id, pid_t pid) const {
  Result<void> done = check_id(vm_id);
  for (const std::string& file : join_files(vm_id)) {
    done = done.and_then([&] { return write_setting(file, std::to_string(pid)); });
  }
  return done;
}

std::vector<std::string> Cgroups::join_files(std::string_view vm_id) const {
  std::vector<std::string> files;
  for (const Hierarchy& hierarchy : hierarchies_) files.push_back(group(hierarchy, vm_id) + "/cgroup.procs");
  return files;
}

namespace {

// The kernel lets a process that has ended leave its group a moment after those who wait for it are told.
bool remove_group(const std::string& path) {
  constexpr int kAttempts = 50;
  constexpr useconds_t kPauseMicroseconds = 10'000;
  for (int attempt = 1;; ++attempt) {
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return true;
    // A guest's TPM ends a moment after its QEMU.
    if (errno != EBUSY || attempt == kAttempts) return false;
    ::usleep(kPauseMicroseconds);
  }
}

}  // namespace

Result<void> Cgroups::remove(std::string_view vm_id) const {
  Result<void> done = check_id(vm_id);
  if (!done) return done;
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string path = group(hierarchy, vm_id);
    if (!remove_group(path)) {
      done = fail(error_for("cannot remove the control group " + path, errno));
    }
  }
  return done;
}

}  // namespace gantry::qemu
