#include "app/cli/output.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

namespace gantry::app {
namespace {

std::string json_of(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  // An enum's first value is a statement too: a VM's power RUNNING, a volume's format QCOW2.
  options.always_print_primitive_fields = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return "{}";
  return text;
}

bool plain_in_yaml(const std::string& text) {
  constexpr std::string_view kSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./@+";
  if (text.empty() || text.find_first_not_of(kSafe) != std::string::npos) return false;
  if (text.find_first_not_of("0123456789.+-e_xE") == std::string::npos) return false;
  if (std::string_view("-.@").find(text.front()) != std::string_view::npos) return false;
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* word : {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    if (lower == word) return false;
  }
  return true;
}

std::string yaml_scalar(const nlohmann::ordered_json& value) {
  if (value.is_string()) {
    const auto text = value.get<std::string>();
    return plain_in_yaml(text) ? text : value.dump();  // a JSON string is a YAML string
  }
  return value.dump();
}

// Fields of `value` at `depth`, each on its own line.
void write_yaml(const nlohmann::ordered_json& value, std::size_t depth, std::string& out) {
  const std::string indent(depth * 2, ' ');
  if (value.is_object()) {
    for (const auto& [name, field] : value.items()) {
      const std::string key = plain_in_yaml(name) ? name : nlohmann::json(name).dump();
      if (field.is_structured() && !field.empty()) {
        out += indent + key + ":\n";
        write_yaml(field, depth + 1, out);
      } else {
        out += indent + key + ": " + yaml_scalar(field) + "\n";
      }
    }
    return;
  }
  for (const auto& element : value) {
    if (element.is_structured() && !element.empty()) {
      std::string nested;
      write_yaml(element, depth + 1, nested);
      nested.replace(depth * 2, 2, "- ");
      out += nested;
    } else {
      out += indent + "- " + yaml_scalar(element) + "\n";
    }
  }
}

}  // namespace

void Table::add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = printable(cell);
  rows_.push_back(std::move(row));
}

std::string Table::text() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

std::string to_pretty_json(const google::protobuf::Message& message) {
  return nlohmann::ordered_json::parse(json_of(message), nullptr, false).dump(2) + "\n";
}

std::string to_yaml(const google::protobuf::Message& message) {
  std::string text;
  write_yaml(nlohmann::ordered_json::parse(json_of(message), nullptr, false), 0, text);
  return text;
}

std::string with_names(const std::string& yaml, const std::map<std::string, std::string>& name_by_id) {
  std::istringstream lines(yaml);
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    const auto found = name_by_id.find(line.substr(line.rfind(' ') + 1));
    text += line + (found == name_by_id.end() ? "" : "  # " + printable(found->second)) + "\n";
  }
  return text;
}

void print_record(const google::protobuf::Message& message, Format format) {
  std::cout << (format == Format::json ? to_pretty_json(message) : to_yaml(message));
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double amount = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (amount >= 1024 && unit + 1 < kUnits.size()) {
    amount /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  const bool whole = unit == 0 || std::abs(amount - std::round(amount)) < 0.05;
  std::snprintf(text.data(), text.size(), whole ? "%.0f %s" : "%.1f %s", amount, kUnits[unit]);
  return text.data();
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
  const std::string whole(text);
  char* end = nullptr;
  const double number = std::strtod(whole.c_str(), &end);
  std::string unit(end);
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::toupper(c); });
  if (unit.size() > 1 && (unit.substr(1) == "IB" || unit.substr(1) == "B")) unit.resize(1);
  constexpr std::string_view kUnits = "BKMGTP";
  const std::size_t power = unit.empty() ? 0 : kUnits.find(unit);
  const bool known = unit.size() <= 1 && power != std::string_view::npos;
  const double bytes = known ? number * std::pow(1024.0, static_cast<double>(power)) : 0;
  if (end == whole.c_str() || !(bytes >= 1) || bytes > 1e18) {
    return fail(ErrorCode::invalid_argument, "\"" + whole + "\" is not a size", "", "write it as 512M, 10G or 1.5T");
  }
  return static_cast<std::uint64_t>(bytes);
}

Result<std::uint64_t> parse_limit(std::string_view text) {
  if (text.empty()) return std::uint64_t{0};
  return parse_bytes(text);
}

Result<std::uint32_t> parse_mebibytes(std::string_view text) {
  const auto bytes = parse_bytes(text);
  if (!bytes) return fail(bytes.error());
  const std::uint64_t mebibytes = *bytes >> 20U;
  if (mebibytes >= 1 && mebibytes <= std::numeric_limits<std::uint32_t>::max()) {
    return static_cast<std::uint32_t>(mebibytes);
  }
  return fail(ErrorCode::invalid_argument, "\"" + std::string(text) + "\" is not a size of memory",
              "it is " + std::string(mebibytes == 0 ? "less than 1 MiB" : "too much"), "write it as 512M or 2G");
}

std::string printable(std::string_view text) {
  std::string clean;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    clean += byte < 0x20 || byte == 0x7f ? ' ' : letter;
  }
  return clean;
}

std::string reason_of(const v1::Problem& problem) {
  constexpr std::size_t kShort = 120;
  // A hypervisor's last words are for `show`.
  const bool is_short = problem.cause().size() <= kShort && problem.cause().find('\n') == std::string::npos;
  const std::string& reason = is_short && !problem.cause().empty() ? problem.cause() : problem.summary();
  return reason.empty() ? "-" : printable(reason);
}

void print_error(const Error& error) {
  std::cerr << "error: " << printable(error.summary) << "\n";
  if (!error.cause.empty()) std::cerr << "  why: " << printable(error.cause) << "\n";
  if (!error.next_step.empty()) std::cerr << "  next: " << printable(error.next_step) << "\n";
}

int exit_code_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::invalid_argument: return 2;
    case ErrorCode::not_found: return 3;
    case ErrorCode::already_exists:
    case ErrorCode::conflict: return 4;
    case ErrorCode::unauthenticated:
    case ErrorCode::permission_denied: return 5;
    case ErrorCode::unavailable: return 6;
    default: return 1;
  }
}

ProgressLine::ProgressLine(std::string title) : title_(std::move(title)), terminal_(::isatty(2) != 0) {}

ProgressLine::~ProgressLine() { clear(); }

void ProgressLine::clear() {
  if (drawn_) std::cerr << "\r\033[K" << std::flush;
  drawn_ = false;
}

void ProgressLine::show(const v1::Progress& progress) {
  const std::string phase = printable(progress.phase());
  if (!terminal_) {
    if (!phase.empty() && phase != last_phase_) std::cerr << title_ << ": " << phase << "\n";
    last_phase_ = phase;
    return;
  }
  constexpr std::size_t kWidth = 24;
  std::string bar;
  if (progress.measurable()) {
    const std::size_t full = std::min<std::size_t>(progress.percent(), 100) * kWidth / 100;
    bar = " [" + std::string(full, '#') + std::string(kWidth - full, '.') + "] " + std::to_string(progress.percent()) +
          "%";
  }
  std::cerr << "\r\033[K" << title_ << bar << (phase.empty() ? "" : "  " + phase) << std::flush;
  drawn_ = true;
}

void ProgressLine::finish(const std::string& word) {
  clear();
  std::cerr << title_ << ": " << word << "\n";
}

}  // namespace gantry::app
