// Rules of the firewall as text. Internal to src/network.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace gantry::network {

// Writes rules of one table.
class Script {
 public:
  explicit Script(std::string table) : table_(std::move(table)) { text_ = "add table " + table_ + "\n"; }
  void line(std::string_view verb, const std::string& rest) {
    text_ += std::string(verb) + " " + table_ + " " + rest + "\n";
  }
  // A chain that exists and is empty.
  void chain(const std::string& name, const std::string& hook = {}) {
    line("add chain", hook.empty() ? name : name + " { type " + hook + "; policy accept; }");
    line("flush chain", name);
  }
  void rule(const std::string& chain, const std::string& rule) { line("add rule", chain + " " + rule); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string table_;
  std::string text_;
};

inline std::string quoted(const std::string& name) { return "\"" + name + "\""; }

}  // namespace gantry::network
