#include "host/image_machine.h"

#include "model/limits.h"

namespace gantry::host {
namespace {

ImagePlan just(ImageStep step) { return ImagePlan{.step = step}; }

ImagePlan wait_for(std::string what, std::optional<Milliseconds> wake_at_ms = {}) {
  return ImagePlan{.step = ImageStep::none, .waiting_for = std::move(what), .wake_at_ms = wake_at_ms};
}

// Volumes may stand on it: another content under its name would spoil them.
ImagePlan missing(const ImageInput& input) {
  ImagePlan plan = just(ImageStep::fail);
  plan.problem = make_problem("image_missing", "the file of image \"" + input.wanted.meta().name() + "\" is missing",
                              input.wanted.status().path() + " was there before and is not there any more",
                              "put the file back, or delete the image", input.now);
  return plan;
}

// Content is announced by a new generation. What lies there before is not looked at: it would be refused, and removed,
// without those who sent it ever being told.
bool expects_upload(const ImageInput& input) {
  return input.wanted.spec().upload() && input.wanted.meta().generation() <= 1;
}

ImagePlan upload_missing(const ImageInput& input) {
  ImagePlan plan = just(ImageStep::fail);
  plan.problem = make_problem("upload_missing", "image \"" + input.wanted.meta().name() + "\" has no content",
                              "nothing was uploaded for a day", "upload it now, or delete the image", input.now);
  return plan;
}

ImagePlan wait_for_upload(const ImageInput& input) {
  const Milliseconds made_ms = input.wanted.meta().created_at().seconds() * 1000;
  if (made_ms == 0) return wait_for("its content");
  const Milliseconds left_ms = made_ms + model::kUploadWaitMs - input.now.unix_ms;
  return left_ms < 0 ? upload_missing(input) : wait_for("its content", input.now.monotonic_ms + left_ms + 1);
}

ImagePlan plan_look(const ImageInput& input) {
  const ImageMemory& memory = input.memory;
  if (memory.presence == Presence::present || input.wanted.meta().has_deletion()) return {};
  if (const auto until = waits_until(memory.trouble, input.now)) return wait_for("another try", until);
  if (!input.pool_known) return wait_for("its pool");
  const Milliseconds at_ms = memory.missed_at_ms + kLookAgainMs;
  if (memory.presence == Presence::absent && at_ms > input.now.monotonic_ms) return wait_for("its keeper", at_ms);
  return just(ImageStep::inspect);
}

}  // namespace

ImagePlan plan_image(const ImageInput& input) {
  const ImageMemory& memory = input.memory;
  const bool deletes = input.wanted.meta().has_deletion();
  if (input.under_way != ImageStep::none) {
    const bool cuts_short = deletes && input.under_way == ImageStep::import && !input.look_only;
    return cuts_short ? just(ImageStep::remove) : ImagePlan{};
  }
  if (input.look_only) return plan_look(input);
  if (memory.trouble && memory.trouble->definite && !deletes) return {};
  if (const auto until = waits_until(memory.trouble, input.now)) return wait_for("another try", until);
  if (!input.pool_known) return wait_for("its pool");
  if (deletes) {
    return input.in_use_by.empty() ? just(ImageStep::remove) : wait_for(input.in_use_by + " to be deleted");
  }
  if (memory.presence == Presence::present) return {};
  if (memory.presence == Presence::unknown) return just(ImageStep::inspect);
  if (!input.wanted.status().path().empty()) return missing(input);
  return expects_upload(input) ? wait_for_upload(input) : just(ImageStep::import);
}

std::optional<v1::ImageStatus> image_status(const ImageInput& input, const ImagePlan& plan,
                                            const std::string& host_id) {
  const ImageMemory& memory = input.memory;
  const bool deletes = input.wanted.meta().has_deletion();
  if (memory.presence == Presence::unknown && !memory.trouble && !deletes) return std::nullopt;
  v1::ImageStatus status;
  status.set_host_id(host_id);
  status.set_observed_generation(input.wanted.meta().generation());
  if (memory.presence == Presence::present) {
    status.set_path(memory.facts.path);
    status.set_initramfs_path(memory.facts.initramfs_path);
    status.set_virtual_size_bytes(memory.facts.virtual_size_bytes);
    status.set_allocation_bytes(memory.facts.allocation_bytes);
  } else {
    // Kept, so that it is never taken for an image that was not made yet.
    status.set_path(input.wanted.status().path());
  }
  if (memory.trouble) *status.mutable_problem() = memory.trouble->problem;
  if (memory.trouble && memory.trouble->definite) {
    status.set_state(v1::ImageStatus::FAILED);
    if (deletes) status.set_failed_operation_id(memory.trouble->operation_id);
    return status;
  }
  if (deletes) {
    status.set_state(v1::ImageStatus::DELETING);
  } else if (memory.presence == Presence::present) {
    status.set_state(v1::ImageStatus::READY);
  } else if (expects_upload(input)) {
    status.set_state(v1::ImageStatus::WAITING);
  } else {
    status.set_state(v1::ImageStatus::IMPORTING);
    *status.mutable_progress() = memory.progress;
  }
  if (!plan.waiting_for.empty()) status.mutable_progress()->set_phase("waiting for " + plan.waiting_for);
  return status;
}

}  // namespace gantry::host
