#include "storage/seeds.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "runtime/files.h"
#include "runtime/process.h"
#include "storage/file_ops.h"
#include "storage/paths.h"
#include "storage/qemu_img.h"

namespace gantry::storage {
namespace {

constexpr Milliseconds kMakeMs = 30'000;
constexpr mode_t kPassableMode = 0711;

std::string seed_path(const std::string& directory, const std::string& vm_id) {
  return directory + "/" + vm_id + ".iso";
}

std::string work_folder(const std::string& path) { return fresh_path(path) + ".files"; }

Result<void> check_names(const std::map<std::string, std::string>& files) {
  for (const auto& [name, content] : files) {
    if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") != std::string::npos) {
      return fail(ErrorCode::invalid_argument, "\"" + name + "\" cannot be a file of a cloud-init seed",
                  "names are of small letters and dashes");
    }
  }
  return {};
}

Result<void> write_files(const std::string& directory, const std::map<std::string, std::string>& files) {
  if (auto made = runtime::make_directories(directory, 0700); !made) return made;
  for (const auto& [name, content] : files) {
    const std::string path = directory + "/" + name;
    auto file = make_file(path, 0600);
    if (!file) return fail(file.error());
    std::FILE* const stream = ::fdopen(file->get(), "w");
    if (stream == nullptr) return fail(runtime::errno_error("cannot write " + path, errno));
    file->release();
    const bool written = std::fwrite(content.data(), 1, content.size(), stream) == content.size();
    const bool closed = std::fclose(stream) == 0;
    if (!written || !closed) return fail(runtime::errno_error("cannot write " + path, errno));
  }
  return {};
}

Result<void> write_iso(const std::string& from, const std::string& to) {
  runtime::ProcessRequest request;
  request.argv = {"xorriso", "-as",    "genisoimage", "-quiet",  "-input-charset",
                  "utf-8",   "-volid", "cidata",      "-joliet", "-rock",
                  "-output", to,       from};
  request.timeout_ms = kMakeMs;
  auto made = runtime::run_process(request);
  if (!made) return fail(made.error());
  return {};
}

Result<void> rename_over(const std::string& fresh, const std::string& path) {
  if (std::rename(fresh.c_str(), path.c_str()) == 0) return {};
  return fail(runtime::errno_error("cannot rename " + fresh, errno));
}

}  // namespace

Result<std::string> make_seed(const std::string& directory, const std::string& vm_id, std::uint32_t uid,
                              const std::map<std::string, std::string>& files) {
  if (auto id = check_id(vm_id, "vm"); !id) return fail(id.error());
  if (auto names = check_names(files); !names) return fail(names.error());
  if (files.empty()) {
    if (auto gone = delete_seed(directory, vm_id); !gone) return fail(gone.error());
    return std::string();
  }
  const std::string path = seed_path(directory, vm_id);
  // Nobody else may pass through it: what stands in a seed is secret, and xorriso makes files that all may read.
  const std::string folder = work_folder(path);
  const std::string image = folder + "/seed.iso";
  Result<void> done = runtime::make_directories(directory, kPassableMode);
  if (done) done = remove_path(folder);
  if (done) done = runtime::make_directories(folder, 0700);
  if (done) done = write_files(folder + "/files", files);
  if (done) done = write_iso(folder + "/files", image);
  if (done) done = set_owner(image, uid, 0400);
  if (done) done = rename_over(image, path);
  (void)remove_path(folder);
  if (done) return path;
  Error error = explain(done.error(), "cannot make the cloud-init seed of " + vm_id, directory);
  return fail(std::move(error));
}

Result<void> delete_seed(const std::string& directory, const std::string& vm_id) {
  if (auto id = check_id(vm_id, "vm"); !id) return id;
  const std::string path = seed_path(directory, vm_id);
  for (const std::string& gone : {work_folder(path), path}) {
    if (auto removed = remove_path(gone); !removed) return removed;
  }
  return {};
}

}  // namespace gantry::storage
