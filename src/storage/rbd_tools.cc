#include "storage/rbd_tools.h"

#include <algorithm>
#include <utility>

namespace gantry::storage::rbd {
namespace {

constexpr Milliseconds kQuickMs = 120'000;
constexpr Milliseconds kLongMs = 6LL * 3600 * 1000;

bool has(std::string_view text, std::string_view words) { return text.find(words) != std::string_view::npos; }

Error not_installed(const model::RbdLocation& pool) {
  return unusable_pool(pool, "this host lacks the package ceph-common, whose programs reach Ceph",
                       "on it: apt-get install ceph-common qemu-block-extra");
}

// What the programs end their messages with: strerror(3) in LC_ALL=C behind the number.
ErrorCode code_in(std::string_view words) {
  const std::pair<std::string_view, ErrorCode> known[] = {
      {"(2) No such file or directory", ErrorCode::not_found},
      {"does not exist", ErrorCode::not_found},
      {"(17) File exists", ErrorCode::already_exists},
      {"(16) Device or resource busy", ErrorCode::conflict},
      {"image still has watchers", ErrorCode::conflict},
      {"(28) No space left on device", ErrorCode::out_of_space},
      {"(122) Disk quota exceeded", ErrorCode::out_of_space},
      {"(110) Connection timed out", ErrorCode::unavailable},
      {"(108) Cannot send after transport endpoint shutdown", ErrorCode::unavailable},
      {"(13) Permission denied", ErrorCode::permission_denied},
      {"(1) Operation not permitted", ErrorCode::permission_denied}};
  for (const auto& [text, code] : known) {
    if (has(words, text)) return code;
  }
  return ErrorCode::internal;
}

// What keeps the whole pool from being used; nothing else of it is looked at then.
bool is_of_pool(std::string_view words) {
  return has(words, "error opening pool") || (has(words, "namespace") && has(words, "does not exist"));
}

Error judge(const Error& error, const model::RbdLocation& pool) {
  if (error.code == ErrorCode::unsupported) return not_installed(pool);
  if (error.code == ErrorCode::timed_out) {
    return unusable_pool(pool, error.summary + ": " + error.cause, "see \"ceph status\"");
  }
  if (error.code != ErrorCode::internal) return error;
  const std::string words = words_of(error.cause);
  const bool connects = !has(words, "couldn't connect") && !has(words, "failed to fetch mon config");
  const ErrorCode code = words == "timed out" ? ErrorCode::unavailable : code_in(words);
  // Some say why only in their log.
  if (!connects && (code == ErrorCode::permission_denied || has(error.cause, "handle_auth_bad_method"))) {
    return unusable_pool(pool, "Ceph refuses user \"" + pool.user + "\": " + words,
                         "compare the pool's user and key with \"ceph auth get client." + pool.user + "\"");
  }
  if (!connects || code == ErrorCode::unavailable) {
    return unusable_pool(pool, "Ceph does not answer: " + words,
                         "see that this host reaches its monitors, and that \"ceph status\" there is well");
  }
  if (is_of_pool(words)) {
    return unusable_pool(pool, words, "see \"ceph osd pool ls\" and \"rbd namespace ls " + pool.pool + "\"");
  }
  Error judged = error;
  judged.code = code;
  judged.cause = words;
  if (code == ErrorCode::permission_denied) {
    judged.next_step = "see that the rights of client." + pool.user + " are those that docs/how-to/ceph.md gives";
  }
  if (code == ErrorCode::conflict) {
    judged.reason = "volume_in_use";
    judged.next_step = "wait until nobody has it open: of a client that was killed Ceph thinks so for 30 s";
  }
  return judged;
}

Result<std::string> call(const model::RbdLocation& pool, const std::string& program, std::vector<std::string> arguments,
                         runtime::ProcessRequest request) {
  request.argv = {program, "--conf", pool.configuration, "--id", pool.user};
  request.argv.insert(request.argv.end(), arguments.begin(), arguments.end());
  request.output_bytes_max = 64U << 20U;
  auto output = runtime::run_process(request);
  if (!output) return fail(judge(output.error(), pool));
  return std::move(output->out);
}

runtime::ProcessRequest bounded(Milliseconds timeout_ms, const Job& job) {
  runtime::ProcessRequest request;
  request.timeout_ms = timeout_ms;
  request.cancel = job.cancel;
  return request;
}

}  // namespace

Result<std::string> call_rbd(const model::RbdLocation& pool, std::vector<std::string> arguments, const Job& job) {
  return call(pool, "rbd", std::move(arguments), bounded(kQuickMs, job));
}

Result<std::string> call_rbd_at_length(const model::RbdLocation& pool, std::vector<std::string> arguments,
                                       const Job& job) {
  return call(pool, "rbd", std::move(arguments), bounded(kLongMs, job));
}

Result<std::string> call_rados(const model::RbdLocation& pool, std::vector<std::string> arguments, std::string input) {
  std::vector<std::string> all = {"--pool", pool.pool};
  if (!pool.name_space.empty()) all.insert(all.end(), {"--namespace", pool.name_space});
  all.insert(all.end(), arguments.begin(), arguments.end());
  runtime::ProcessRequest request = bounded(kQuickMs, {});
  request.input = std::move(input);
  return call(pool, "rados", std::move(all), std::move(request));
}

Result<std::string> call_ceph(const model::RbdLocation& pool, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--connect-timeout", "20"});
  return call(pool, "ceph", std::move(arguments), bounded(kQuickMs, {}));
}

Result<void> check_qemu() {
  runtime::ProcessRequest request;
  // It lacks a parameter: what it says tells whether there is such a driver.
  request.argv = {"qemu-img", "info", "--image-opts", "driver=rbd"};
  const auto output = runtime::run_process(request);
  if (output || !has(output.error().cause, "Unknown driver")) return {};
  return fail(ErrorCode::unavailable, "cannot use pools of Ceph",
              "QEMU on this host lacks the package qemu-block-extra",
              "on it: apt-get install qemu-block-extra ceph-common", "pool_unusable");
}

std::string place_text(const model::RbdLocation& pool) {
  return pool.pool + (pool.name_space.empty() ? "" : "/" + pool.name_space);
}

std::string image_text(const model::RbdLocation& pool, std::string_view image) {
  return place_text(pool) + "/" + std::string(image);
}

std::string words_of(std::string_view output) {
  std::string words;
  while (!output.empty()) {
    const std::size_t end = std::min(output.find('\n'), output.size());
    const std::string_view line = output.substr(0, end);
    output.remove_prefix(std::min(end + 1, output.size()));
    // A line of the log begins with the time: "2026-11-23T02:10:28.800+0000 ".
    const bool is_log = line.size() > 11 && line[4] == '-' && line[7] == '-' && line[10] == 'T';
    if (line.empty() || is_log) continue;
    words += (words.empty() ? "" : "; ") + std::string(line);
  }
  return words.empty() ? "it did not say why" : words;
}

Error unusable_pool(const model::RbdLocation& pool, std::string cause, std::string next_step) {
  return {ErrorCode::unavailable, "cannot use pool " + place_text(pool) + " of Ceph", std::move(cause),
          std::move(next_step), "pool_unusable"};
}

Error explain_ceph(Error error, const std::string& summary, const model::RbdLocation& pool) {
  if (!error.reason.empty() && error.reason != "volume_in_use") return error;
  if (error.code == ErrorCode::out_of_space) {
    return {ErrorCode::out_of_space, summary, "pool " + place_text(pool) + " of Ceph is full",
            "free some space there or use another pool, then try again", "pool_full"};
  }
  if (error.cause.empty()) error.cause = error.summary;
  error.summary = summary;
  return error;
}

}  // namespace gantry::storage::rbd
