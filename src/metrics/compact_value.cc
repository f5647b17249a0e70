#include "metrics/compact_value.h"

#include <algorithm>

namespace gantry::metrics {
namespace {

// The code of no value, of 0, and of the smallest above it. Above that six bits of exponent and ten of mantissa.
constexpr CompactValue kNone = 0;
constexpr CompactValue kZero = 1;
constexpr CompactValue kFirst = 2;
constexpr int kMantissaBits = 10;
constexpr int kLeastExponent = -12;
constexpr int kLargest = std::numeric_limits<CompactValue>::max() - kFirst;

}  // namespace

CompactValue compact(double value) {
  if (std::isnan(value) || value < 0) return kNone;
  if (std::isinf(value)) return kFirst + kLargest;
  int exponent = 0;
  // In [0.5, 1).
  const double mantissa = std::frexp(value, &exponent);
  if (value == 0 || exponent - 1 < kLeastExponent) return kZero;
  const auto fraction = static_cast<int>(std::lround((mantissa * 2 - 1) * (1 << kMantissaBits)));
  // What was rounded up to the next power of two goes on in its exponent.
  const int code = ((exponent - 1 - kLeastExponent) << kMantissaBits) + fraction;
  return static_cast<CompactValue>(kFirst + std::min(code, kLargest));
}

double value_of(CompactValue compact) {
  if (compact == kNone) return kNoValue;
  if (compact == kZero) return 0;
  const int code = compact - kFirst;
  const int fraction = code & ((1 << kMantissaBits) - 1);
  const double mantissa = 1 + static_cast<double>(fraction) / (1 << kMantissaBits);
  return std::ldexp(mantissa, (code >> kMantissaBits) + kLeastExponent);
}

}  // namespace gantry::metrics
