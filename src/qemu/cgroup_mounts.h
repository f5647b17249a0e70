// Where control groups are mounted, from /proc/self/mountinfo.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gantry::qemu {

struct CgroupMount {
  bool v2 = false;
  std::string path;
  // v1 only: what its options name ("cpu", "cpuacct"); v2 tells in a file.
  std::vector<std::string> controllers;
};

// In the order of the text; lines that are no mount of control groups are passed over.
std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo);

// The words between blanks, tabs and line ends, or another separator.
std::vector<std::string> split_words(std::string_view text, std::string_view separators = " \t\n");

}  // namespace gantry::qemu
