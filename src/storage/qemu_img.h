// qemu-img's commands as calls. All of them block, name the format of every file, and run as the user they are given
// with bounded memory and processor time, so that a crafted image harms nobody.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "storage/image_info.h"
#include "storage/job.h"

namespace gantry::storage {

struct ImageFile {
  std::string path;
  // As `qemu-img -f` takes it.
  std::string format;
};

// The file is opened without its backing file. `uid` 0: as the daemon.
Result<ImageInfo> image_info(const ImageFile& file, std::uint32_t uid);
Result<std::uint64_t> measure_as_qcow2(const ImageFile& file, std::uint32_t uid);

// An empty qcow2 over `backing` (none when its path is empty). The file must be there and writable for `uid`.
Result<void> create_qcow2(const std::string& path, std::uint64_t capacity_bytes, const ImageFile& backing,
                          std::uint32_t uid);
Result<void> resize_image(const ImageFile& file, std::uint64_t capacity_bytes, std::uint32_t uid);
// The target must be there and writable for `uid`.
Result<void> convert_image(const ImageFile& from, const ImageFile& to, std::uint32_t uid, const Job& job);

// Gives a failure its words and stable reason: a full file system ("pool_full"), a file that is open in a guest
// ("volume_in_use"), otherwise what `error` says, under `summary`.
Error explain(Error error, const std::string& summary, const std::string& pool_path);

}  // namespace gantry::storage
