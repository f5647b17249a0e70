#include "storage/image_sources.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "model/check.h"
#include "runtime/files.h"
#include "storage/file_ops.h"
#include "storage/progress_text.h"
#include "storage/qemu_img.h"

namespace gantry::storage {
namespace {

constexpr Milliseconds kRecipeMs = 2LL * 3600 * 1000;
constexpr Milliseconds kFetchMs = 6LL * 3600 * 1000;
constexpr std::array<std::string_view, 4> kRecipeOptions = {"mirror", "suite", "size", "packages"};

Error not_asked_well(std::string cause, std::string next_step) {
  return Error{ErrorCode::invalid_argument, "the image cannot be made", std::move(cause), std::move(next_step)};
}

Result<void> check_recipe(const v1::ImageSpec& spec, const StorageOptions& options) {
  if (!options.recipes.contains(spec.recipe())) {
    std::string known;
    for (const auto& [name, program] : options.recipes) known += (known.empty() ? "" : ", ") + name;
    return fail(not_asked_well("there is no recipe \"" + spec.recipe() + "\" on this host",
                               known.empty() ? "import a file or a URL instead" : "it has: " + known));
  }
  if (spec.kind() != v1::ImageSpec::DISK) return fail(not_asked_well("recipes make disks", "ask for a disk image"));
  for (const auto& [key, value] : spec.recipe_options()) {
    if (std::find(kRecipeOptions.begin(), kRecipeOptions.end(), key) == kRecipeOptions.end()) {
      return fail(not_asked_well("recipes have no option \"" + key + "\"", "use mirror, suite, size or packages"));
    }
  }
  return {};
}

Result<void> check_url(const v1::ImageSpec& spec) {
  constexpr std::string_view kScheme = "https://";
  const bool plain =
      std::all_of(spec.url().begin(), spec.url().end(), [](unsigned char c) { return c > ' ' && c < 0x7f; });
  if (!std::string_view(spec.url()).starts_with(kScheme) || !plain) {
    return fail(not_asked_well("\"" + spec.url() + "\" is no https URL", "give one that begins with https://"));
  }
  if (model::is_sha256_hex(spec.sha256())) return {};
  return fail(not_asked_well("what is fetched from a URL needs a SHA-256 checksum",
                             "give the one its publisher names, as 64 hexadecimal digits"));
}

}  // namespace

Result<void> check_source(const port::ImageRequest& request, const StorageOptions& options) {
  const v1::ImageSpec& spec = request.spec;
  const int sources = (spec.recipe().empty() ? 0 : 1) + (spec.url().empty() ? 0 : 1) + (spec.upload() ? 1 : 0);
  if (sources != 1) {
    return fail(not_asked_well("it names " + std::to_string(sources) + " sources", "give one: recipe, url or upload"));
  }
  if (!spec.recipe().empty()) return check_recipe(spec, options);
  if (!spec.url().empty()) return check_url(spec);
  if (spec.sha256().empty() || model::is_sha256_hex(spec.sha256())) return {};
  return fail(not_asked_well("\"" + spec.sha256() + "\" is no SHA-256 checksum", "give 64 hexadecimal digits"));
}

Result<void> run_recipe(const port::ImageRequest& request, const StorageOptions& options, const std::string& output,
                        const Job& job) {
  if (auto made = runtime::make_directories(options.cache_directory); !made) return made;
  LineReader lines([&](std::string_view line) {
    if (const auto found = parse_recipe_progress(line)) job.tell(found->percent, found->phase);
  });
  runtime::ProcessRequest process;
  process.argv = {options.recipes.at(request.spec.recipe()), "--output", output, "--cache",
                  options.cache_directory + "/" + request.spec.recipe()};
  const auto& asked = request.spec.recipe_options();
  for (const std::string_view key : kRecipeOptions) {
    const auto found = asked.find(std::string(key));
    if (found != asked.end()) process.argv.insert(process.argv.end(), {"--" + found->first, found->second});
  }
  process.timeout_ms = kRecipeMs;
  process.on_output = [&](std::string_view piece) { lines.feed(piece); };
  process.cancel = job.cancel;
  auto made = runtime::run_process(process);
  if (!made) return fail(made.error());
  return {};
}

Result<void> fetch_url(const std::string& url, const StorageOptions& options, const std::string& output,
                       std::uint32_t uid, const Job& job) {
  {
    auto made = make_file(output, 0600);
    if (!made) return fail(made.error());
  }
  if (auto given = set_owner(output, uid, 0600); !given) return given;
  LineReader lines([&](std::string_view line) {
    if (const auto found = parse_curl_progress(line)) job.tell(found->percent, "fetching the image");
  });
  runtime::ProcessRequest process;
  // Its messages and progress go to the output that is followed.
  process.argv = {"curl",
                  "--disable",
                  "--fail",
                  "--location",
                  "--proto",
                  "=https",
                  "--max-redirs",
                  "5",
                  "--tlsv1.2",
                  "--stderr",
                  "-",
                  "--progress-bar",
                  "--connect-timeout",
                  "30",
                  "--speed-limit",
                  "100",
                  "--speed-time",
                  "120",
                  "--output",
                  output};
  if (!options.ca_file.empty()) process.argv.insert(process.argv.end(), {"--cacert", options.ca_file});
  process.argv.insert(process.argv.end(), {"--url", url});
  process.timeout_ms = kFetchMs;
  process.on_output = [&](std::string_view piece) { lines.feed(piece); };
  process.cancel = job.cancel;
  process.uid = uid;
  job.tell(0, "fetching the image");
  auto fetched = runtime::run_process(process);
  if (fetched) return {};
  Error error = fetched.error();
  // Nothing says that the same URL fails tomorrow.
  if (error.code == ErrorCode::internal) {
    error.code = ErrorCode::unavailable;
    error.reason = "fetch_failed";
    error.next_step = "see that this host reaches the URL";
  }
  return fail(std::move(error));
}

Result<void> check_sha256(const std::string& path, const std::string& sha256, const Job& job) {
  if (sha256.empty()) return {};
  auto found = sha256_of(path, job);
  if (!found) return fail(found.error());
  const bool same = std::equal(found->begin(), found->end(), sha256.begin(), sha256.end(),
                               [](unsigned char a, unsigned char b) { return a == std::tolower(b); });
  if (same) return {};
  return fail(ErrorCode::corrupt, "the image is not what was expected",
              "its SHA-256 checksum is " + *found + ", expected was " + sha256,
              "get the file again, or correct the checksum", "checksum_mismatch");
}

}  // namespace gantry::storage
