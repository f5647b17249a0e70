// Pseudo-random numbers that are the same on every machine for the same seed. Not for secrets.
// xoshiro256** by Blackman and Vigna (public domain, https://prng.di.unimi.it/), seeded by splitmix64.
#pragma once

#include <array>
#include <cstdint>

namespace gantry {

class Rng {
 public:
  explicit Rng(std::uint64_t seed);
  std::uint64_t next();
  // 0 to `bound` - 1, without bias; `bound` must not be 0.
  std::uint64_t below(std::uint64_t bound);
  // True with a chance of `numerator` in `denominator`.
  bool chance(std::uint64_t numerator, std::uint64_t denominator) { return below(denominator) < numerator; }

 private:
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace gantry
