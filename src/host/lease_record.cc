#include "host/lease_record.h"

#include <algorithm>

namespace gantry::host {
namespace {

// All numbers are little-endian.
//   0  "GantryLs"   8  version   16  epoch   24  counter   32  heir's epoch
//   40 length of the owner's id, the id   160 length of the heir's id, the id   504  checksum of all before
constexpr std::string_view kMagic = "GantryLs";
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kRecordBytes = 512;
constexpr std::size_t kVersionAt = 8;
constexpr std::size_t kEpochAt = 16;
constexpr std::size_t kCounterAt = 24;
constexpr std::size_t kHeirEpochAt = 32;
constexpr std::size_t kOwnerAt = 40;
constexpr std::size_t kHeirAt = 160;
constexpr std::size_t kChecksumAt = 504;

void put(std::string& block, std::size_t at, std::uint64_t number) {
  for (std::size_t i = 0; i < 8; ++i) block[at + i] = static_cast<char>(number >> (8 * i) & 0xffU);
}

std::uint64_t get(std::string_view block, std::size_t at) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number |= std::uint64_t{static_cast<unsigned char>(block[at + i])} << (8 * i);
  return number;
}

void put_text(std::string& block, std::size_t at, const std::string& text) {
  const std::size_t length = std::min(text.size(), kLeaseHostIdBytesMax);
  put(block, at, length);
  std::copy_n(text.begin(), length, block.begin() + static_cast<std::ptrdiff_t>(at + 8));
}

bool get_text(std::string_view block, std::size_t at, std::string& text) {
  const std::uint64_t length = get(block, at);
  if (length > kLeaseHostIdBytesMax) return false;
  text = block.substr(at + 8, static_cast<std::size_t>(length));
  return true;
}

// FNV-1a: against torn writes and damage, not against forgery.
std::uint64_t checksum(std::string_view bytes) {
  std::uint64_t sum = 14'695'981'039'346'656'037U;
  for (const char byte : bytes) sum = (sum ^ static_cast<unsigned char>(byte)) * 1'099'511'628'211U;
  return sum;
}

}  // namespace

std::string to_block(const LeaseRecord& record) {
  std::string block(kLeaseBlockBytes, '\0');
  std::copy(kMagic.begin(), kMagic.end(), block.begin());
  put(block, kVersionAt, kVersion);
  put(block, kEpochAt, record.epoch);
  put(block, kCounterAt, record.counter);
  put(block, kHeirEpochAt, record.heir_epoch);
  put_text(block, kOwnerAt, record.owner);
  put_text(block, kHeirAt, record.heir);
  put(block, kChecksumAt, checksum(std::string_view(block).substr(0, kChecksumAt)));
  return block;
}

Result<LeaseRecord> parse_lease_block(std::string_view block) {
  const auto corrupt = [](const char* why) { return fail(ErrorCode::corrupt, "the lease's record is damaged", why); };
  if (block.size() < kRecordBytes) return corrupt("it is too short");
  if (block.substr(0, kMagic.size()) != kMagic) return corrupt("it does not begin as one");
  if (get(block, kChecksumAt) != checksum(block.substr(0, kChecksumAt))) return corrupt("its checksum is wrong");
  if (get(block, kVersionAt) != kVersion) {
    return fail(ErrorCode::unsupported, "the lease's record is of a later version of Gantry", {}, "upgrade this host");
  }
  LeaseRecord record;
  record.epoch = get(block, kEpochAt);
  record.counter = get(block, kCounterAt);
  record.heir_epoch = get(block, kHeirEpochAt);
  if (!get_text(block, kOwnerAt, record.owner) || !get_text(block, kHeirAt, record.heir) || record.owner.empty()) {
    return corrupt("it names no host");
  }
  return record;
}

LeaseRecord unreadable_record(std::string_view block) { return {.counter = checksum(block)}; }

}  // namespace gantry::host
