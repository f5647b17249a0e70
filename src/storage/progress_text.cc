#include "storage/progress_text.h"

#include <algorithm>
#include <charconv>

namespace gantry::storage {
namespace {

constexpr std::size_t kLineBytesMax = 512;
constexpr std::size_t kPhaseBytesMax = 80;

// The whole part of a number at the beginning of `text`, when it is 0 to 100.
std::optional<std::uint32_t> percent_at(std::string_view text) {
  std::uint32_t percent = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (error != std::errc() || percent > 100) return std::nullopt;
  return percent;
}

}  // namespace

std::optional<ProgressLine> parse_qemu_img_progress(std::string_view line) {
  const std::size_t open = line.find('(');
  if (open == std::string_view::npos || line.find("/100%)", open) == std::string_view::npos) return std::nullopt;
  const auto percent = percent_at(line.substr(open + 1));
  if (!percent) return std::nullopt;
  return ProgressLine{*percent, {}};
}

std::optional<ProgressLine> parse_curl_progress(std::string_view line) {
  while (line.ends_with(' ')) line.remove_suffix(1);
  if (!line.ends_with('%')) return std::nullopt;
  const std::size_t blank = line.find_last_of(" #");
  const auto percent = percent_at(blank == std::string_view::npos ? line : line.substr(blank + 1));
  if (!percent) return std::nullopt;
  return ProgressLine{*percent, {}};
}

std::optional<ProgressLine> parse_recipe_progress(std::string_view line) {
  constexpr std::string_view kWord = "progress ";
  if (!line.starts_with(kWord)) return std::nullopt;
  line.remove_prefix(kWord.size());
  const auto percent = percent_at(line);
  const std::size_t blank = line.find(' ');
  if (!percent || blank == std::string_view::npos) return std::nullopt;
  std::string phase(line.substr(blank + 1, kPhaseBytesMax));
  const bool plain = std::all_of(phase.begin(), phase.end(), [](char c) { return c >= ' ' && c <= '~'; });
  if (!plain || phase.empty()) return std::nullopt;
  return ProgressLine{*percent, std::move(phase)};
}

void LineReader::feed(std::string_view piece) {
  for (const char letter : piece) {
    if (letter != '\n' && letter != '\r') {
      if (line_.size() < kLineBytesMax) line_ += letter;
      continue;
    }
    if (!line_.empty()) on_line_(line_);
    line_.clear();
  }
}

}  // namespace gantry::storage
