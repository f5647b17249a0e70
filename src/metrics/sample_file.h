// The samples of one hour in a file, as they came: each time's are one block, so that all of a moment cost one write.
//
// The file: a head; then blocks, each with a head of its own. A block of keys says which things come next in the order
// of things; a block of samples has, for a time, the values of the first so many things in that order. Numbers are the
// machine's own: the file stays where it was written.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "metrics/compact_value.h"

namespace gantry::metrics {

// Since 1970-01-01 UTC.
using Seconds = std::int64_t;
// Of a thing's id (FNV-1a): ids are random, so that no two of a cluster have the same in practice.
using Key = std::uint64_t;

inline constexpr std::size_t kColumnsMax = 1'024;

// Of one thing at one time. As many values as there are columns; NaN: not measured.
struct Sample {
  std::string_view id;
  std::span<const double> values;
};

// Used by one thread at a time. Nothing is synced: a process that is killed loses nothing that was added, a machine
// that loses its power the last half minute.
class SampleFile {
 public:
  // Made if it is not there, with so many columns; one that is there, as of another version, stays with its own. What a
  // crash left half written at its end is cut off. Not such a file: corrupt.
  static Result<SampleFile> open(const std::string& path, std::size_t columns);

  // Without room for it nothing of it is kept.
  Result<void> add(Seconds at, std::span<const Sample> samples);

  struct Moment {
    Seconds at = 0;
    // So many things of keys(); of each its columns.
    std::size_t things = 0;
    std::vector<CompactValue> values = {};
  };
  // Every time there is something of, in the order they came in.
  Result<void> each_moment(const std::function<void(const Moment&)>& take) const;
  // Those of one thing alone.
  Result<void> each_of(Key key, const std::function<void(Seconds, std::span<const CompactValue>)>& take) const;

  [[nodiscard]] const std::vector<Key>& keys() const { return keys_; }
  [[nodiscard]] std::size_t columns() const { return columns_; }

 private:
  struct Block {
    Seconds at;
    std::uint64_t offset;
    std::uint32_t things;
  };

  SampleFile(UniqueFd file, std::string path, std::size_t columns)
      : file_(std::move(file)), path_(std::move(path)), columns_(columns) {}
  Result<void> begin();
  Result<void> load();
  // Whether a whole block is there, which is taken.
  Result<bool> load_block(std::uint64_t size);
  std::size_t place_of(Key key, std::vector<Key>& fresh);
  [[nodiscard]] Result<void> append(std::string_view bytes);
  [[nodiscard]] Result<void> read_at(std::uint64_t offset, void* to, std::size_t bytes) const;

  UniqueFd file_;
  std::string path_;
  std::size_t columns_;
  std::uint64_t end_ = 0;
  std::vector<Key> keys_;
  std::unordered_map<Key, std::size_t> places_;
  std::vector<Block> blocks_;
};

}  // namespace gantry::metrics
