// A measured value in two bytes: 0 and 2^-12 to 2^51, to a thousandth of itself. What was not measured is no value, and
// never 0.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace gantry::metrics {

using CompactValue = std::uint16_t;

inline constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

// NaN, and what is below 0, is no value. What is too small is 0; what is too large is the largest there is.
CompactValue compact(double value);
// NaN: no value.
double value_of(CompactValue compact);

}  // namespace gantry::metrics
