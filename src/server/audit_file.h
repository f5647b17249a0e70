// An append-only file of lines that are chained: each line holds the hash of the one before it and one of itself, so
// that a line that is changed, taken out or put in later is found. The file is set aside when it is full; so many are
// kept.
//
//   HASH PREVIOUS_HASH TEXT\n        HASH = SHA-256 of PREVIOUS_HASH + TEXT
//
// What was cut off at the end leaves no trace in the file itself: that is found by the hashes that were told elsewhere
// (the journal has each).
//
// Threads: an AuditFile is one thread's; AuditFiles may be read on another meanwhile.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace gantry::server {

struct AuditFileOptions {
  // Made when it is not there, for root alone.
  std::string directory;
  std::size_t file_bytes_max = 16U << 20U;
  std::size_t files_max = 8;
};

struct AuditLine {
  std::string hash;
  std::string previous_hash;
  std::string text;
};

// Those that there are at one moment, oldest first: what is set aside or taken away later is still read as it was.
class AuditFiles {
 public:
  static Result<AuditFiles> open(const std::string& directory);
  [[nodiscard]] std::size_t size() const { return files_.size(); }
  // The whole lines of one, oldest first; a line that has not the form has empty hashes and is all text. corrupt when
  // it has more than `bytes_max`.
  [[nodiscard]] Result<std::vector<AuditLine>> lines(std::size_t place, std::size_t bytes_max) const;

 private:
  std::vector<UniqueFd> files_;
};

class AuditFile {
 public:
  explicit AuditFile(AuditFileOptions options) : options_(std::move(options)) {}

  // Goes on behind the last whole line; a torn one at the end (a crash) is cut off. The last line's text; empty: none.
  // When it fails it may be tried again.
  Result<std::string> open();
  // After open(). `text` without line breaks. The line's hash. When it fails nothing was written, and the next may do.
  Result<std::string> append(std::string_view text);

  // Oldest first, paths.
  static std::vector<std::string> paths(const std::string& directory);
  static std::string hash_of(std::string_view previous_hash, std::string_view text);

 private:
  Result<void> open_current();
  Result<void> set_aside();

  AuditFileOptions options_;
  UniqueFd file_;
  std::size_t bytes_ = 0;
  std::string last_hash_;
};

}  // namespace gantry::server
