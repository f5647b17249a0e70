#include "metrics/sample_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/fnv.h"
#include "metrics/bytes.h"
#include "runtime/files.h"

namespace gantry::metrics {
namespace {

constexpr std::array<char, 8> kMagic = {'G', 'A', 'N', 'S', 'A', 'M', 'P', '1'};
constexpr std::uint32_t kKeys = 1;
constexpr std::uint32_t kSamples = 2;

struct FileHead {
  std::array<char, 8> magic;
  std::uint64_t columns;
};

struct BlockHead {
  std::uint32_t kind;
  // Keys, or things.
  std::uint32_t count;
  Seconds at;
};

}  // namespace

Result<SampleFile> SampleFile::open(const std::string& path, std::size_t columns) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return fail(runtime::errno_error("cannot open " + path, errno));
  SampleFile opened(std::move(file), path, columns);
  if (auto loaded = opened.load(); !loaded) return fail(loaded.error());
  return opened;
}

Result<void> SampleFile::read_at(std::uint64_t offset, void* to, std::size_t bytes) const {
  auto* place = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t count = ::pread(file_.get(), place, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(runtime::errno_error("cannot read " + path_, errno));
    if (count == 0) return fail(ErrorCode::corrupt, "cannot read " + path_, "it is shorter than it was");
    place += count;
    offset += static_cast<std::uint64_t>(count);
    bytes -= static_cast<std::size_t>(count);
  }
  return {};
}

Result<void> SampleFile::append(std::string_view bytes) {
  std::uint64_t at = end_;
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      // What of it is there is written over by the next, or cut off.
      [[maybe_unused]] const int cut = ::ftruncate(file_.get(), static_cast<off_t>(end_));
      return fail(runtime::errno_error("cannot write " + path_, error));
    }
    bytes.remove_prefix(static_cast<std::size_t>(count));
    at += static_cast<std::uint64_t>(count);
  }
  end_ = at;
  return {};
}

Result<void> SampleFile::begin() {
  if (::ftruncate(file_.get(), 0) != 0) return fail(runtime::errno_error("cannot write " + path_, errno));
  const FileHead head{.magic = kMagic, .columns = columns_};
  std::string bytes;
  add_bytes(bytes, &head, 1);
  return append(bytes);
}

Result<void> SampleFile::load() {
  struct stat info {};
  if (::fstat(file_.get(), &info) != 0) return fail(runtime::errno_error("cannot read " + path_, errno));
  const auto size = static_cast<std::uint64_t>(info.st_size);
  FileHead head{};
  if (size < sizeof head) return begin();
  if (auto read = read_at(0, &head, sizeof head); !read) return read;
  if (head.magic != kMagic || head.columns == 0 || head.columns > kColumnsMax) {
    return fail(ErrorCode::corrupt, "cannot use " + path_, "it is no file of samples");
  }
  columns_ = head.columns;
  end_ = sizeof head;
  for (;;) {
    const auto more = load_block(size);
    if (!more) return fail(more.error());
    if (!*more) break;
  }
  if (end_ < size && ::ftruncate(file_.get(), static_cast<off_t>(end_)) != 0) {
    return fail(runtime::errno_error("cannot write " + path_, errno));
  }
  return {};
}

Result<bool> SampleFile::load_block(std::uint64_t size) {
  BlockHead head{};
  if (size - end_ < sizeof head) return false;
  if (auto read = read_at(end_, &head, sizeof head); !read) return fail(read.error());
  const std::uint64_t begin = end_ + sizeof head;
  const std::uint64_t each = head.kind == kKeys ? sizeof(Key) : columns_ * sizeof(CompactValue);
  if ((head.kind != kKeys && head.kind != kSamples) || head.count > (size - begin) / each) return false;
  if (head.kind == kKeys) {
    std::vector<Key> keys(head.count);
    if (auto read = read_at(begin, keys.data(), keys.size() * sizeof(Key)); !read) return fail(read.error());
    for (const Key key : keys) {
      places_.emplace(key, keys_.size());
      keys_.push_back(key);
    }
  } else {
    if (head.count > keys_.size()) return false;
    blocks_.push_back({.at = head.at, .offset = begin, .things = head.count});
  }
  end_ = begin + head.count * each;
  return true;
}

// New ones are noted in `fresh`, and count from when that was written.
std::size_t SampleFile::place_of(Key key, std::vector<Key>& fresh) {
  const auto [found, is_new] = places_.emplace(key, keys_.size() + fresh.size());
  if (is_new) fresh.push_back(key);
  return found->second;
}

Result<void> SampleFile::add(Seconds at, std::span<const Sample> samples) {
  std::vector<Key> fresh;
  std::vector<std::size_t> places;
  places.reserve(samples.size());
  for (const Sample& sample : samples) places.push_back(place_of(fnv1a(sample.id), fresh));
  const std::size_t things = keys_.size() + fresh.size();
  std::vector<CompactValue> values(things * columns_, compact(kNoValue));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const std::size_t count = std::min(columns_, samples[i].values.size());
    for (std::size_t column = 0; column < count; ++column) {
      values[places[i] * columns_ + column] = compact(samples[i].values[column]);
    }
  }
  std::string bytes;
  if (!fresh.empty()) {
    const BlockHead head{.kind = kKeys, .count = static_cast<std::uint32_t>(fresh.size()), .at = at};
    add_bytes(bytes, &head, 1);
    add_bytes(bytes, fresh.data(), fresh.size());
  }
  const BlockHead head{.kind = kSamples, .count = static_cast<std::uint32_t>(things), .at = at};
  add_bytes(bytes, &head, 1);
  const std::uint64_t offset = end_ + bytes.size();
  add_bytes(bytes, values.data(), values.size());
  if (auto written = append(bytes); !written) {
    for (const Key key : fresh) places_.erase(key);
    return written;
  }
  keys_.insert(keys_.end(), fresh.begin(), fresh.end());
  blocks_.push_back({.at = at, .offset = offset, .things = static_cast<std::uint32_t>(things)});
  return {};
}

Result<void> SampleFile::each_moment(const std::function<void(const Moment&)>& take) const {
  Moment moment;
  for (const Block& block : blocks_) {
    moment.at = block.at;
    moment.things = block.things;
    moment.values.resize(block.things * columns_);
    if (auto read = read_at(block.offset, moment.values.data(), moment.values.size() * sizeof(CompactValue)); !read) {
      return read;
    }
    take(moment);
  }
  return {};
}

Result<void> SampleFile::each_of(Key key,
                                 const std::function<void(Seconds, std::span<const CompactValue>)>& take) const {
  const auto found = places_.find(key);
  if (found == places_.end()) return {};
  std::vector<CompactValue> values(columns_);
  const std::size_t bytes = columns_ * sizeof(CompactValue);
  for (const Block& block : blocks_) {
    if (found->second >= block.things) continue;
    if (auto read = read_at(block.offset + found->second * bytes, values.data(), bytes); !read) return read;
    take(block.at, values);
  }
  return {};
}

}  // namespace gantry::metrics
