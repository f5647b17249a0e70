// What a record's state means, in one place.
#pragma once

#include <string>

#include "base/result.h"
#include "gantry/v1/network.pb.h"
#include "gantry/v1/storage.pb.h"
#include "gantry/v1/task.pb.h"
#include "gantry/v1/vm.pb.h"

namespace gantry::model {

inline constexpr std::uint32_t kDefaultOvercommitPercent = 200;
inline constexpr std::uint32_t kDefaultCpus = 1;
inline constexpr std::uint32_t kDefaultMemoryMib = 1024;
inline constexpr std::string_view kDefaultDomain = "gantry";
inline constexpr std::string_view kDefaultName = "default";

bool is_ended(v1::Task::State state);

// The host acted on the spec as it is now.
bool is_observed(const v1::Vm& vm);
// Its guest is there, as far as was seen.
bool has_guest(v1::VmStatus::State state);
// Its memory must be kept free: it is wanted to run, or was not yet seen stopped since that ended.
bool holds_memory(const v1::Vm& vm);
// The boot that is wanted ended, or could not be made; a start needs a new one.
bool boot_ended(const v1::Vm& vm);

// QEMU itself holds the guest's processors, and `problem` says why.
bool is_held(const v1::VmStatus& status);
// The volume is as good as before, but the host could not make it as large as wanted.
bool growth_failed(const v1::Volume& volume);

// Content may be sent for the image; else a conflict that says why not. Content that was announced (a new generation)
// stands until its host has told what became of it.
Result<void> check_takes_upload(const v1::Image& image);

// Nothing is left for the host to do: what is seen is what is wanted, or it was told why it cannot be.
bool is_converged(const v1::Vm& vm);
bool is_converged(const v1::Volume& volume);
bool is_converged(const v1::Image& image);
bool is_converged(const v1::Network& network);
bool is_converged(const v1::Pool& pool);

// The volume's size as it counts against its pool's promise.
std::uint64_t promised_bytes(const v1::Volume& volume);

// "10 GiB", "512 MiB", "7 bytes".
std::string bytes_text(std::uint64_t bytes);

}  // namespace gantry::model
