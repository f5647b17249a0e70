// What a piece of blocking work knows of the call it is done for.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "runtime/process.h"

namespace gantry::storage {

struct Job {
  // Never null where a job may take long.
  runtime::CancelFlag cancel;
  // Called on the worker's thread; may be empty.
  std::function<void(std::uint32_t percent, const std::string& phase)> progress;

  [[nodiscard]] bool cancelled() const { return cancel && cancel->load(); }
  void tell(std::uint32_t percent, const std::string& phase) const {
    if (progress) progress(percent > 100 ? 100 : percent, phase);
  }
  // A job whose 0 to 100 per cent are `from` to `to` of this one.
  [[nodiscard]] Job part(std::uint32_t from, std::uint32_t to) const {
    return Job{cancel, [outer = progress, from, to](std::uint32_t percent, const std::string& phase) {
                 if (outer) outer(from + (to - from) * percent / 100, phase);
               }};
  }
};

}  // namespace gantry::storage
