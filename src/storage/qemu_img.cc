#include "storage/qemu_img.h"

#include <utility>
#include <vector>

#include "storage/progress_text.h"

namespace gantry::storage {
namespace {

constexpr Milliseconds kQuickMs = 60'000;
constexpr Milliseconds kConvertMs = 6LL * 3600 * 1000;
// Far above what qemu-img takes for any image that is not made to exhaust it.
constexpr char kAddressSpace[] = "--as=2147483648";
constexpr char kQuickProcessorTime[] = "--cpu=30";

std::vector<std::string> limited(std::vector<std::string> limits, std::vector<std::string> argv) {
  limits.insert(limits.begin(), {"prlimit", "--core=0", kAddressSpace});
  limits.insert(limits.end(), argv.begin(), argv.end());
  return limits;
}

runtime::ProcessRequest quick_request(std::vector<std::string> argv, std::uint32_t uid) {
  runtime::ProcessRequest request;
  request.argv = limited({kQuickProcessorTime}, std::move(argv));
  request.timeout_ms = kQuickMs;
  request.output_bytes_max = kImageInfoBytesMax + 1;
  request.uid = uid;
  return request;
}

Result<void> run_quick(std::vector<std::string> argv, std::uint32_t uid) {
  auto output = runtime::run_process(quick_request(std::move(argv), uid));
  if (!output) return fail(output.error());
  return {};
}

bool has(const std::string& text, const char* words) { return text.find(words) != std::string::npos; }

}  // namespace

Result<ImageInfo> image_info(const ImageFile& file, std::uint32_t uid) {
  auto output = runtime::run_process(
      quick_request({"qemu-img", "info", "-U", "--output=json", "-f", file.format, file.path}, uid));
  if (!output) return fail(output.error());
  return parse_image_info(output->out);
}

Result<std::uint64_t> measure_as_qcow2(const ImageFile& file, std::uint32_t uid) {
  auto output = runtime::run_process(
      quick_request({"qemu-img", "measure", "--output=json", "-f", file.format, "-O", "qcow2", file.path}, uid));
  if (!output) return fail(output.error());
  return parse_measured_bytes(output->out);
}

Result<void> create_qcow2(const std::string& path, std::uint64_t capacity_bytes, const ImageFile& backing,
                          std::uint32_t uid) {
  std::vector<std::string> argv = {"qemu-img", "create", "-q", "-f", "qcow2"};
  if (!backing.path.empty()) argv.insert(argv.end(), {"-b", backing.path, "-F", backing.format});
  argv.insert(argv.end(), {path, std::to_string(capacity_bytes)});
  return run_quick(std::move(argv), uid);
}

Result<void> resize_image(const ImageFile& file, std::uint64_t capacity_bytes, std::uint32_t uid) {
  return run_quick({"qemu-img", "resize", "-q", "-f", file.format, file.path, std::to_string(capacity_bytes)}, uid);
}

Result<void> convert_image(const ImageFile& from, const ImageFile& to, std::uint32_t uid, const Job& job) {
  LineReader lines([&](std::string_view line) {
    if (const auto found = parse_qemu_img_progress(line)) job.tell(found->percent, "converting the image");
  });
  runtime::ProcessRequest request;
  request.argv = limited({}, {"qemu-img", "convert", "-p", "-f", from.format, "-O", to.format, from.path, to.path});
  request.timeout_ms = kConvertMs;
  request.on_output = [&](std::string_view piece) { lines.feed(piece); };
  request.cancel = job.cancel;
  request.uid = uid;
  auto output = runtime::run_process(request);
  if (!output) return fail(output.error());
  return {};
}

Error explain(Error error, const std::string& summary, const std::string& pool_path) {
  const std::string cause = error.cause.empty() ? error.summary : error.cause;
  if (error.code == ErrorCode::out_of_space || has(cause, "No space left on device") ||
      has(cause, "Disk quota exceeded")) {
    return Error{ErrorCode::out_of_space, summary, "the file system of the pool at " + pool_path + " is full",
                 "free some space there or use another pool, then try again", "pool_full"};
  }
  if (has(cause, "Failed to get")) {  // "...\"write\" lock": QEMU's own guard of files in use
    return Error{ErrorCode::conflict, summary, "a running guest has it open", "stop the VM that uses it and try again",
                 "volume_in_use"};
  }
  error.summary = summary;
  error.cause = cause;
  return error;
}

}  // namespace gantry::storage
