#include "storage/kernel_bundle.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::storage {
namespace {

constexpr std::uint64_t kBlockBytes = 512;
using Block = std::array<unsigned char, kBlockBytes>;

struct Field {
  std::size_t offset;
  std::size_t size;
};
constexpr Field kName{0, 100};
constexpr Field kSize{124, 12};
constexpr Field kChecksum{148, 8};
constexpr std::size_t kType = 156;

Error bad(std::string cause) {
  return Error{ErrorCode::corrupt, "cannot read the kernel image", std::move(cause),
               "send an uncompressed tar file with the entries \"kernel\" and \"initramfs\"", "image_corrupt"};
}

std::string_view text_of(const Block& block, Field field) {
  const auto* begin = reinterpret_cast<const char*>(block.data()) + field.offset;  // NOLINT: bytes as letters
  const std::string_view text(begin, field.size);
  return text.substr(0, text.find('\0'));
}

std::optional<std::uint64_t> octal_of(const Block& block, Field field) {
  std::string_view text = text_of(block, field);
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  if (text.empty()) return std::nullopt;
  std::uint64_t number = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '7') return std::nullopt;
    number = number * 8 + static_cast<std::uint64_t>(digit - '0');
  }
  return number;
}

// All bytes of the header added up, those of the sum itself taken as blanks.
bool checksum_holds(const Block& block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    sum += i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size ? ' ' : block[i];
  }
  return octal_of(block, kChecksum) == sum;
}

bool is_end(const Block& block) {
  return std::all_of(block.begin(), block.end(), [](unsigned char byte) { return byte == 0; });
}

struct Found {
  std::optional<FileRange> kernel;
  std::optional<FileRange> initramfs;
};

Result<void> take_entry(const Block& header, FileRange range, Found& found) {
  const unsigned char type = header[kType];
  // Directories and the extended headers some programs write first say nothing that matters here.
  if (type == '5' || type == 'x' || type == 'g') return {};
  std::string_view name = text_of(header, kName);
  if (name.starts_with("./")) name.remove_prefix(2);
  if (type != '0' && type != 0) return fail(bad("\"" + std::string(name) + "\" in it is no regular file"));
  const bool is_kernel = name == "kernel";
  if (!is_kernel && name != "initramfs") return fail(bad("it has a file besides \"kernel\" and \"initramfs\""));
  auto& place = is_kernel ? found.kernel : found.initramfs;
  if (place) return fail(bad("it has \"" + std::string(name) + "\" twice"));
  if (range.size_bytes == 0) return fail(bad("its \"" + std::string(name) + "\" is empty"));
  if (range.size_bytes > (is_kernel ? kKernelBytesMax : kInitramfsBytesMax)) {
    return fail(bad("its \"" + std::string(name) + "\" is too large"));
  }
  place = range;
  return {};
}

}  // namespace

Result<KernelBundle> find_in_kernel_bundle(const ReadAt& read_at, std::uint64_t file_size_bytes) {
  Found found;
  std::uint64_t offset = 0;
  for (std::size_t entries = 0; entries < kBundleEntriesMax; ++entries) {
    Block header{};
    if (file_size_bytes < kBlockBytes || offset > file_size_bytes - kBlockBytes) break;
    if (!read_at(offset, header)) return fail(bad("it cannot be read"));
    if (is_end(header)) break;
    if (!checksum_holds(header)) return fail(bad("it is no tar file, or damaged"));
    const auto size = octal_of(header, kSize);
    offset += kBlockBytes;
    if (!size || *size > file_size_bytes - offset) return fail(bad("it is cut off"));
    if (auto taken = take_entry(header, {offset, *size}, found); !taken) return fail(taken.error());
    offset += (*size + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  }
  if (!found.kernel) return fail(bad("it has no \"kernel\""));
  if (!found.initramfs) return fail(bad("it has no \"initramfs\""));
  return KernelBundle{*found.kernel, *found.initramfs};
}

}  // namespace gantry::storage
