// What the command line prints: tables for people, JSON and YAML for programs, progress on a terminal.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gantry/v1/meta.pb.h"

namespace gantry::app {

enum class Format { table, json, yaml };

// Columns are as wide as their widest cell; the last one is not padded. Whatever a cell has, it stays one.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row);
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string to_pretty_json(const google::protobuf::Message& message);
std::string to_yaml(const google::protobuf::Message& message);
// `yaml` with "  # NAME" behind each line whose value is one of these ids.
std::string with_names(const std::string& yaml, const std::map<std::string, std::string>& name_by_id);
// As YAML in the table format too: for single records.
void print_record(const google::protobuf::Message& message, Format format);

// "1.5 GiB".
std::string human_bytes(std::uint64_t bytes);
// "10G", "512M", "1.5T", "1073741824": powers of 1024.
Result<std::uint64_t> parse_bytes(std::string_view text);
// Likewise; 0 when it is empty.
Result<std::uint64_t> parse_limit(std::string_view text);
// The same in whole MiB, for memory: at least one.
Result<std::uint32_t> parse_mebibytes(std::string_view text);

// Text from servers and guests, without what would steer a terminal.
std::string printable(std::string_view text);

// Why something is as it is, for a table's cell; "-": nothing is wrong.
std::string reason_of(const v1::Problem& problem);

// "error: ...", "  why: ...", "  next: ..." on standard error.
void print_error(const Error& error);
int exit_code_of(const Error& error);

// One line that is drawn again and again on a terminal; only changes of phase elsewhere.
class ProgressLine {
 public:
  explicit ProgressLine(std::string title);
  ~ProgressLine();
  void show(const v1::Progress& progress);
  // Ends the line with a last word.
  void finish(const std::string& word);

 private:
  void clear();

  std::string title_;
  bool terminal_;
  bool drawn_ = false;
  std::string last_phase_;
};

}  // namespace gantry::app
