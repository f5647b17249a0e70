// Reads progress out of what programs print, in pieces as it comes. No line is longer in memory than a few hundred
// bytes, however much comes without an end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::storage {

struct ProgressLine {
  std::uint32_t percent = 0;
  std::string phase;
};

// qemu-img -p: "    (12.50/100%)".
std::optional<ProgressLine> parse_qemu_img_progress(std::string_view line);
// curl --progress-bar: "#####      12.5%".
std::optional<ProgressLine> parse_curl_progress(std::string_view line);
// Recipe programs: "progress 12 unpacking packages".
std::optional<ProgressLine> parse_recipe_progress(std::string_view line);

// Cuts at line feeds and carriage returns.
class LineReader {
 public:
  explicit LineReader(std::function<void(std::string_view)> on_line) : on_line_(std::move(on_line)) {}
  void feed(std::string_view piece);

 private:
  std::function<void(std::string_view)> on_line_;
  std::string line_;
};

}  // namespace gantry::storage
