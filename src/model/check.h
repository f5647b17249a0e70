// Building blocks of validation: each names the field that is wrong and says what it should be.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry::model {

using Checked = Result<void>;

// Where the values of an enum are listed.
inline constexpr std::string_view kSeeApi = "see /api/v1/openapi.json for what it may be";

// invalid_argument with reason "invalid_field": "the field FIELD is wrong", why, and what to do. `field` as the API's
// JSON has it: "spec.memoryMib".
tl::unexpected<Error> bad_field(std::string_view field, std::string why, std::string next_step);

Checked check_name(std::string_view field, std::string_view name);
// A name or an id, not looked up yet. Empty is fine unless `required`.
Checked check_reference(std::string_view field, std::string_view text, bool required = false);
Checked check_range(std::string_view field, std::uint64_t value, std::uint64_t first, std::uint64_t last);
Checked check_length(std::string_view field, std::string_view text, std::size_t bytes_max);
// One line: no control characters, valid UTF-8, at most `bytes_max` bytes.
Checked check_line(std::string_view field, std::string_view text, std::size_t bytes_max);
// An absolute path without "." and ".." parts, of characters that need no quoting anywhere.
Checked check_directory(std::string_view field, std::string_view path);
Checked check_dns_name(std::string_view field, std::string_view name);

// One label of a host name (RFC 1123): 1 to 63 letters, digits and "-", neither beginning nor ending with "-".
bool is_dns_label(std::string_view label);
// Labels with dots between them, at most 253 bytes.
bool is_dns_name(std::string_view name);
bool is_sha256_hex(std::string_view text);
// As QEMU writes the name of a processor: 1 to 63 letters, digits, "-", "_" and ".".
bool is_cpu_model(std::string_view text);

}  // namespace gantry::model

// Returns from the calling function when `expression` (a Checked) failed.
#define GANTRY_CHECK(expression)                                           \
  do {                                                                     \
    if (auto gantry_checked = (expression); !gantry_checked.has_value()) { \
      return ::gantry::fail(std::move(gantry_checked.error()));            \
    }                                                                      \
  } while (false)
