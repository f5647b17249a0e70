// The part of Agent that is the host's storage.
#include <filesystem>

#include "sim/agent_calls.h"

namespace gantry::sim {

void Agent::inspect_pool(const port::PoolRequest& request, std::function<void(Result<v1::PoolStatus>)> done) {
  run_on_disk<v1::PoolStatus>(
      "pool inspection", 50,
      [this, request]() -> Result<v1::PoolStatus> {
        if (!request.shared_id.empty()) return shared_.inspect_pool(request);
        if (auto usable = world_.use_pool(request); !usable) return fail(usable.error());
        constexpr std::uint64_t kGib = 1U << 30U;
        v1::PoolStatus status;
        const std::uint64_t used_gib = world_.allocated_gib();
        status.set_capacity_bytes(world_.setup.pool_capacity_gib * kGib);
        status.set_available_bytes(
            used_gib > world_.setup.pool_capacity_gib ? 0 : (world_.setup.pool_capacity_gib - used_gib) * kGib);
        status.set_allocation_bytes(used_gib * kGib);
        return status;
      },
      std::move(done));
}

void Agent::release_pool(const port::PoolRequest& request, port::Done done) {
  run_on_disk<void>(
      "pool release", 20, [this, request] { return shared_.release_pool(request); }, std::move(done));
}

void Agent::create_volume(const port::VolumeRequest& request, port::ProgressCallback progress, port::VolumeDone done) {
  executor_.post([progress = std::move(progress)] {
    v1::Progress half;
    half.set_measurable(true);
    half.set_percent(50);
    progress(half);
  });
  run_unless_deleted<port::VolumeFacts>(
      request.volume_id, "creation of a volume", 100,
      [this, request] { return in_pool(request, [&](auto& files) { return files.create_volume(request); }); },
      std::move(done));
}

void Agent::inspect_volume(const port::VolumeRequest& request, port::VolumeDone done) {
  run_on_disk<port::VolumeFacts>(
      "volume inspection", 30,
      [this, request] { return in_pool(request, [&](auto& files) { return files.inspect_volume(request); }); },
      std::move(done));
}

void Agent::resize_volume(const port::VolumeRequest& request, port::VolumeDone done) {
  run_on_disk<port::VolumeFacts>(
      "resize", 100,
      [this, request] { return in_pool(request, [&](auto& files) { return files.resize_volume(request); }); },
      std::move(done));
}

void Agent::delete_volume(const port::VolumeRequest& request, port::Done done) {
  cut_short(request.volume_id);
  run_on_disk<void>(
      "deletion of a volume", 50,
      [this, request] { return in_pool(request, [&](auto& files) { return files.delete_volume(request); }); },
      std::move(done));
}

void Agent::import_image(const port::ImageRequest& request, port::ProgressCallback progress, port::ImageDone done) {
  executor_.post_after(50, [progress = std::move(progress)] {
    v1::Progress some;
    some.set_measurable(true);
    some.set_percent(10);
    progress(some);
  });
  run_unless_deleted<port::ImageFacts>(
      request.image_id, "import of an image", 5'000,
      [this, request] { return in_pool(request, [&](auto& files) { return files.import_image(request); }); },
      std::move(done));
}

void Agent::inspect_image(const port::ImageRequest& request, port::ImageDone done) {
  run_on_disk<port::ImageFacts>(
      "image inspection", 30,
      [this, request] { return in_pool(request, [&](auto& files) { return files.inspect_image(request); }); },
      std::move(done));
}

void Agent::delete_image(const port::ImageRequest& request, port::Done done) {
  cut_short(request.image_id);
  run_on_disk<void>(
      "deletion of an image", 50,
      [this, request] { return in_pool(request, [&](auto& files) { return files.delete_image(request); }); },
      std::move(done));
}

void Agent::make_seed(const std::string& vm_id, std::uint32_t, const std::map<std::string, std::string>&,
                      std::function<void(Result<std::string>)> done) {
  run_on_disk<std::string>(
      "cloud-init seed", 30,
      [this, vm_id]() -> Result<std::string> {
        world_.seeds.insert(vm_id);
        return "/seeds/" + vm_id;
      },
      std::move(done));
}

void Agent::delete_seed(const std::string& vm_id, port::Done done) {
  run_on_disk<void>(
      "deletion of a seed", 30,
      [this, vm_id]() -> Result<void> {
        world_.seeds.erase(vm_id);
        return {};
      },
      std::move(done));
}

std::set<std::string>& Agent::tpms_at(const std::string& pool_path) {
  return shared_.has_pool_at(pool_path) ? shared_.tpms : world_.tpms;
}

void Agent::make_tpm(const port::GuestDefinition& guest, bool incoming) {
  if (guest.tpm_directory.empty()) return;
  // As port::tpm_directory() has it below the pool.
  const std::string pool_path = std::filesystem::path(guest.tpm_directory).parent_path().parent_path();
  const bool is_new = tpms_at(pool_path).insert(guest.vm_id).second;
  const bool had_one = !shared_.tpms_ever.insert(guest.vm_id).second;
  if (is_new && had_one && !incoming) trace_.violation("guest " + guest.vm_id + " begins without what its TPM kept");
}

void Agent::delete_tpm(const port::PoolRequest& pool, const std::string& vm_id, port::Done done) {
  run_on_disk<void>(
      "deletion of a TPM", 30,
      [this, pool, vm_id]() -> Result<void> {
        tpms_at(pool.path).erase(vm_id);
        return {};
      },
      std::move(done));
}

}  // namespace gantry::sim
