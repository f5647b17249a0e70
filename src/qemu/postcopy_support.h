// Whether guests can come to this machine by postcopy: their QEMU, which runs as an unprivileged user, fetches memory
// that is missing by userfaultfd(2), which the kernel may keep from it.
#pragma once

#include <string>
#include <string_view>

namespace gantry::qemu {

// What is in the way, as a child with such a user's rights finds by trying, and what to do; empty: nothing. Blocks for
// a moment.
std::string postcopy_problem();

// Of what userfaultfd(2) answered such a child, 0 or an errno, where /proc/sys/vm/unprivileged_userfaultfd is that.
std::string postcopy_problem_of(int error_number, std::string_view setting);

}  // namespace gantry::qemu
