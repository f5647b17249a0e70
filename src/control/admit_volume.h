// Pools and new volumes as changes choose and make them.
#pragma once

#include <string>

#include "control/change.h"

namespace gantry::control {

// The pool asked for. Without `name_or_id`: the pool "default" if `host_id` (empty: any) has it, else that host's first
// pool by name, one of its own before a shared one.
Result<const v1::Pool*> choose_pool(const Change& change, const std::string& name_or_id, const std::string& host_id);
// The id of the image's pool if that is shared: a volume made of it is best kept beside it. Else empty.
std::string shared_pool_of(const Change& change, const v1::Image& image);

// How much more the pool may promise, beside what this change makes in it.
std::uint64_t room_in(const Change& change, const v1::Pool& pool);

struct NewVolumeWish {
  std::string name;
  const v1::Pool* pool = nullptr;
  // 0: the image's.
  std::uint64_t capacity_bytes = 0;
  v1::VolumeSpec::Format format = v1::VolumeSpec::QCOW2;
  // nullptr: blank.
  const v1::Image* image = nullptr;
  std::string owner_vm_id = {};
  // Of a shared pool: the host that is to make it; empty: any.
  std::string host_id = {};
  google::protobuf::Map<std::string, std::string> labels = {};
};

// Puts the new volume into the draft and says so in the plan, if the pool may promise it.
Result<const v1::Volume*> make_volume(Change& change, const NewVolumeWish& wish);

// An image that a disk may be made from. Warns when it is not ready yet.
Result<const v1::Image*> find_disk_image(Change& change, const std::string& name_or_id);
// Refuses an image that failed, and warns when it is not ready yet.
Result<void> check_image_usable(Change& change, const v1::Image& image);

std::string host_name(const View& view, const std::string& host_id);

}  // namespace gantry::control
