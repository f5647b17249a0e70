// One image on this host: pure functions, as in vm_machine.h.
#pragma once

#include <optional>
#include <string>

#include "base/time.h"
#include "gantry/v1/storage.pb.h"
#include "host/trouble.h"
#include "host/volume_machine.h"

namespace gantry::host {

enum class ImageStep { none, inspect, import, remove, fail };

struct ImageMemory {
  Presence presence = Presence::unknown;
  // As in VolumeMemory.
  Milliseconds missed_at_ms = 0;
  port::ImageFacts facts;
  v1::Progress progress;
  MaybeTrouble trouble;
};

struct ImageInput {
  const v1::Image& wanted;
  const ImageMemory& memory;
  ImageStep under_way = ImageStep::none;
  bool pool_known = false;
  bool look_only = false;
  // The volume that stands on it; empty: none.
  std::string in_use_by;
  Now now;
};

struct ImagePlan {
  ImageStep step = ImageStep::none;
  std::string waiting_for = {};
  std::optional<Milliseconds> wake_at_ms = {};
  v1::Problem problem = {};
};

// While an import is under way `remove` may be answered, to cut it short.
ImagePlan plan_image(const ImageInput& input);

std::optional<v1::ImageStatus> image_status(const ImageInput& input, const ImagePlan& plan, const std::string& host_id);

}  // namespace gantry::host
