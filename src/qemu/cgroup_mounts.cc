#include "qemu/cgroup_mounts.h"

#include <algorithm>
#include <utility>

namespace gantry::qemu {
namespace {

bool is_octal(char letter) { return letter >= '0' && letter <= '7'; }

// The kernel writes blanks and backslashes in paths as three octal digits.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && std::all_of(text.begin() + i + 1, text.begin() + i + 4, is_octal)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace

std::vector<std::string> split_words(std::string_view text, std::string_view separators) {
  std::vector<std::string> words;
  std::size_t begin = text.find_first_not_of(separators);
  while (begin != std::string_view::npos) {
    const std::size_t end = std::min(text.find_first_of(separators, begin), text.size());
    words.emplace_back(text.substr(begin, end - begin));
    begin = text.find_first_not_of(separators, end);
  }
  return words;
}

std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo) {
  // id parent device root PATH options [optional...] - TYPE source OPTIONS
  constexpr std::size_t kPathField = 4;
  std::vector<CgroupMount> mounts;
  for (const std::string& line : split_words(mountinfo, "\n")) {
    const std::vector<std::string> fields = split_words(line);
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.end() - dash < 4 || dash - fields.begin() <= static_cast<std::ptrdiff_t>(kPathField)) continue;
    CgroupMount mount{.v2 = *(dash + 1) == "cgroup2", .path = unescape(fields[kPathField]), .controllers = {}};
    if (!mount.v2 && *(dash + 1) != "cgroup") continue;
    if (!mount.v2) mount.controllers = split_words(*(dash + 3), ",");
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

}  // namespace gantry::qemu
