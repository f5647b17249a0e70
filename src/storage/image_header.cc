#include "storage/image_header.h"

#include <algorithm>
#include <string>

namespace gantry::storage {
namespace {

using Bytes = std::span<const unsigned char>;

constexpr std::uint64_t kQcow2ExternalDataFile = 1U << 2U;

bool has_at(Bytes bytes, std::size_t offset, std::string_view magic) {
  return bytes.size() >= offset + magic.size() &&
         std::equal(magic.begin(), magic.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset),
                    [](char a, unsigned char b) { return static_cast<unsigned char>(a) == b; });
}

// 0 behind the end, so that a cut header has no features; qemu-img refuses it afterwards.
std::uint64_t number_at(Bytes bytes, std::size_t offset, std::size_t size, bool big_endian) {
  if (bytes.size() < offset + size) return 0;
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < size; ++i) {
    number = number << 8U | bytes[offset + (big_endian ? i : size - 1 - i)];
  }
  return number;
}

Result<ImageHeader> probe_qcow(Bytes head) {
  const std::uint64_t version = number_at(head, 4, 4, true);
  if (version != 2 && version != 3) {
    return fail(ErrorCode::unsupported, "this image is in a qcow format of version " + std::to_string(version),
                "versions 2 and 3 are read", "convert it with qemu-img convert -O qcow2", "image_unsupported");
  }
  ImageHeader header{ImageFormat::qcow2};
  header.has_backing_file = number_at(head, 8, 8, true) != 0;
  header.virtual_size_bytes = number_at(head, 24, 8, true);
  header.encrypted = number_at(head, 32, 4, true) != 0;
  header.has_outside_data = version == 3 && (number_at(head, 72, 8, true) & kQcow2ExternalDataFile) != 0;
  return header;
}

// A sparse extent without a capacity of its own is only the carrier of a description of other files (vmdk_open_vmdk4).
ImageHeader probe_vmdk_sparse(Bytes head) {
  ImageHeader header{ImageFormat::vmdk};
  header.has_outside_data = number_at(head, 12, 8, false) == 0;
  return header;
}

// The description alone, as text; blank lines and comments may come first (vmdk_probe).
bool is_vmdk_description(Bytes head) {
  constexpr std::string_view kFirstLine = "# Disk DescriptorFile";
  if (has_at(head, 0, kFirstLine)) return true;
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());  // NOLINT: bytes as letters
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    const bool blank = line.find_first_not_of(" \r\t") == std::string_view::npos;
    if (!blank && line.front() != '#') {
      return line.starts_with("version=1") || line.starts_with("version=2") || line.starts_with("version=3");
    }
    begin = end + 1;
  }
  return false;
}

}  // namespace

std::string_view to_string(ImageFormat format) {
  switch (format) {
    case ImageFormat::raw: return "raw";
    case ImageFormat::qcow2: return "qcow2";
    case ImageFormat::vmdk: return "vmdk";
    case ImageFormat::vdi: return "vdi";
    case ImageFormat::vhdx: return "vhdx";
    case ImageFormat::vpc: return "vpc";
  }
  return "raw";
}

Result<ImageHeader> probe_image_header(Bytes head, Bytes tail) {
  using namespace std::string_view_literals;
  if (has_at(head, 0, "QFI\xfb"sv)) return probe_qcow(head);
  if (has_at(head, 0, "KDMV"sv)) return probe_vmdk_sparse(head);
  if (has_at(head, 0x40, "\x7f\x10\xda\xbe"sv)) return ImageHeader{ImageFormat::vdi};
  if (has_at(head, 0, "vhdxfile"sv)) return ImageHeader{ImageFormat::vhdx};
  if (has_at(head, 0, "conectix"sv) || has_at(tail, 0, "conectix"sv)) return ImageHeader{ImageFormat::vpc};
  if (has_at(head, 0, "COWD"sv) || is_vmdk_description(head)) {
    ImageHeader header{ImageFormat::vmdk};
    header.has_outside_data = true;
    return header;
  }
  if (has_at(head, 0, "QED\0"sv) || has_at(head, 0, "LUKS\xba\xbe"sv) || has_at(head, 0, "WithoutFreeSpace"sv)) {
    return fail(ErrorCode::unsupported, "this image is in a format that is not read",
                "raw, qcow2, vmdk, vdi, vhdx and vpc are", "convert it with qemu-img convert -O qcow2",
                "image_unsupported");
  }
  return ImageHeader{ImageFormat::raw};
}

}  // namespace gantry::storage
