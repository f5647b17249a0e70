#include "storage/image_check.h"

#include <algorithm>
#include <array>

#include "model/limits.h"
#include "storage/file_ops.h"
#include "storage/qemu_img.h"

namespace gantry::storage {
namespace {

Error refers_outside(std::string cause) {
  return Error{ErrorCode::invalid_argument, "the image is refused: it points at another file", std::move(cause),
               "make it whole first: qemu-img convert -O qcow2 IMAGE WHOLE.qcow2", "image_refers_outside"};
}

Error damaged(const Error& why) {
  return Error{ErrorCode::corrupt, "the image cannot be read", why.cause.empty() ? why.summary : why.cause,
               "look at the file with qemu-img check, or get it again", "image_corrupt"};
}

Result<ImageHeader> read_header(const std::string& path) {
  auto file = open_file(path);
  const auto facts = stat_file(path);
  if (!file) return fail(file.error());
  if (!facts) return fail(facts.error());
  if (facts->size_bytes == 0) return fail(damaged(Error{ErrorCode::corrupt, "the file is empty"}));
  std::array<unsigned char, kHeaderBytes> head{};
  std::array<unsigned char, kTrailerBytes> tail{};
  const auto head_count = read_at(file->get(), 0, head);
  if (!head_count) return fail(head_count.error());
  const std::uint64_t tail_offset = facts->size_bytes - std::min<std::uint64_t>(facts->size_bytes, tail.size());
  const auto tail_count = read_at(file->get(), tail_offset, tail);
  if (!tail_count) return fail(tail_count.error());
  return probe_image_header(std::span<const unsigned char>(head).first(*head_count),
                            std::span<const unsigned char>(tail).first(*tail_count));
}

Result<void> require_whole(const ImageHeader& header) {
  if (header.has_backing_file) return fail(refers_outside("it has a backing file"));
  if (header.has_outside_data) return fail(refers_outside("its content lies in other files"));
  if (!header.encrypted) return {};
  return fail(ErrorCode::unsupported, "the image is encrypted", "its key is not known here",
              "decrypt it first with qemu-img convert", "image_encrypted");
}

// The same again by qemu-img's understanding, which knows more of each format.
Result<void> require_whole(const ImageInfo& info, const std::string& path) {
  if (!info.backing_file.empty()) return fail(refers_outside("its backing file is \"" + info.backing_file + "\""));
  if (!info.data_file.empty()) return fail(refers_outside("its data file is \"" + info.data_file + "\""));
  for (const std::string& extent : info.extents) {
    if (extent != path) return fail(refers_outside("a part of it is in \"" + extent + "\""));
  }
  if (info.corrupt) return fail(damaged(Error{ErrorCode::corrupt, "it is marked as damaged"}));
  if (info.virtual_size_bytes == 0 || info.virtual_size_bytes > model::kVolumeBytesMax) {
    return fail(
        damaged(Error{ErrorCode::corrupt, "it says to hold " + std::to_string(info.virtual_size_bytes) + " bytes"}));
  }
  return require_whole(ImageHeader{.encrypted = info.encrypted});
}

// Failures of the machine stay what they are; what qemu-img says of the file means the file is bad.
Error judge(const Error& error) { return error.code == ErrorCode::internal ? damaged(error) : error; }

}  // namespace

Result<CheckedImage> check_image(const std::string& path, std::uint32_t uid) {
  const auto header = read_header(path);
  if (!header) return fail(header.error());
  if (auto whole = require_whole(*header); !whole) return fail(whole.error());
  const ImageFile file{path, std::string(to_string(header->format))};
  const auto info = image_info(file, uid);
  if (!info) return fail(judge(info.error()));
  if (auto whole = require_whole(*info, path); !whole) return fail(whole.error());
  const auto measured = measure_as_qcow2(file, uid);
  if (!measured) return fail(judge(measured.error()));
  return CheckedImage{header->format, info->virtual_size_bytes, *measured};
}

}  // namespace gantry::storage
