#include "control/admit_volume.h"

#include <algorithm>
#include <limits>

#include "control/admission.h"
#include "control/copied_disks.h"
#include "control/keepers.h"
#include "control/pool_hosts.h"
#include "control/refuse_used.h"
#include "model/pool_drivers.h"
#include "model/state.h"

namespace gantry::control {
namespace {

using model::bytes_text;

struct Promise {
  std::uint64_t percent = 0;
  std::uint64_t limit = 0;
  std::uint64_t promised = 0;
};

Promise promise_of(const Change& change, const v1::Pool& pool) {
  Promise promise;
  promise.percent =
      pool.spec().overcommit_percent() != 0 ? pool.spec().overcommit_percent() : model::kDefaultOvercommitPercent;
  // A host may say anything of its size.
  constexpr double kBytesMax = 9e18;
  const auto capacity = static_cast<double>(pool.status().capacity_bytes());
  promise.limit =
      static_cast<std::uint64_t>(std::min(kBytesMax, capacity * static_cast<double>(promise.percent) / 100.0));
  const auto here = change.promised_bytes.find(pool.meta().id());
  promise.promised =
      change.view().promised_bytes(pool.meta().id()) + (here == change.promised_bytes.end() ? 0 : here->second);
  return promise;
}

Result<void> check_promise(const Change& change, const v1::Pool& pool, std::uint64_t more_bytes) {
  if (more_bytes <= room_in(change, pool)) return {};
  const Promise promise = promise_of(change, pool);
  return fail(
      ErrorCode::conflict, "pool \"" + pool.meta().name() + "\" cannot promise " + bytes_text(more_bytes) + " more",
      bytes_text(promise.promised) + " of " + bytes_text(promise.limit) + " (" + std::to_string(promise.percent) +
          " % of its " + bytes_text(pool.status().capacity_bytes()) + ") are promised already",
      "delete volumes, use another pool, or ask for less", "pool_full");
}

std::uint64_t wanted_bytes(const NewVolumeWish& wish) {
  const std::uint64_t image_bytes = wish.image != nullptr ? wish.image->status().virtual_size_bytes() : 0;
  return wish.capacity_bytes != 0 ? wish.capacity_bytes : image_bytes;
}

// What stands in a pool is made as that pool has it.
v1::VolumeSpec::Format format_in(const v1::Pool& pool, v1::VolumeSpec::Format wanted) {
  return model::is_in_ceph(pool.spec()) ? v1::VolumeSpec::RAW : wanted;
}

// Whether every host that has `pool`, or comes to have it, has the image's pool too.
bool is_within_reach(const View& view, const v1::Pool& image_pool, const v1::Pool& pool) {
  if (image_pool.meta().id() == pool.meta().id()) return true;
  if (!pool.spec().shared()) return has_pool(view, pool.spec().host_id(), image_pool);
  if (image_pool.spec().shared() && image_pool.spec().hosts().empty()) return true;
  const auto& hosts = pool.spec().hosts();
  return !hosts.empty() && std::all_of(hosts.begin(), hosts.end(),
                                       [&](const std::string& host) { return has_pool(view, host, image_pool); });
}

Result<void> check_image_reach(const Change& change, const NewVolumeWish& wish) {
  const auto* image_pool = change.view().find<v1::Pool>(wish.image->spec().pool());
  if (image_pool == nullptr || !is_within_reach(change.view(), *image_pool, *wish.pool)) {
    return fail(ErrorCode::conflict,
                "volume \"" + wish.name + "\" cannot stand on image \"" + wish.image->meta().name() + "\"",
                wish.pool->spec().shared()
                    ? "not every host that has pool \"" + wish.pool->meta().name() + "\" has the image's pool"
                    : "the image and pool \"" + wish.pool->meta().name() + "\" are on different hosts",
                wish.pool->spec().shared() ? "make the image in pool " + wish.pool->meta().name() + " too"
                                           : "use a pool on the image's host",
                "image_out_of_reach");
  }
  if (model::is_in_ceph(image_pool->spec()) && image_pool->meta().id() != wish.pool->meta().id()) {
    return fail(ErrorCode::conflict,
                "volume \"" + wish.name + "\" cannot stand on image \"" + wish.image->meta().name() + "\"",
                "the image is in pool \"" + image_pool->meta().name() +
                    "\" of Ceph, where only volumes of that pool stand on it",
                "make the volume in pool " + image_pool->meta().name() + ", or the image in pool " +
                    wish.pool->meta().name() + " too",
                "image_out_of_reach");
  }
  return {};
}

Result<void> check_wish(const Change& change, const NewVolumeWish& wish) {
  if (wish.image == nullptr) return {};
  GANTRY_CHECK(check_image_reach(change, wish));
  const std::uint64_t image_bytes = wish.image->status().virtual_size_bytes();
  if (wish.capacity_bytes != 0 && wish.capacity_bytes < image_bytes) {
    return fail(ErrorCode::invalid_argument, "volume \"" + wish.name + "\" is too small",
                bytes_text(wish.capacity_bytes) + " cannot hold image \"" + wish.image->meta().name() + "\" of " +
                    bytes_text(image_bytes),
                "ask for at least the image's size", "volume_too_small");
  }
  return {};
}

}  // namespace

std::uint64_t room_in(const Change& change, const v1::Pool& pool) {
  // Not inspected yet: the host will say when it is full.
  if (pool.status().capacity_bytes() == 0) return std::numeric_limits<std::uint64_t>::max();
  const Promise promise = promise_of(change, pool);
  return promise.limit - std::min(promise.limit, promise.promised);
}

std::string host_name(const View& view, const std::string& host_id) {
  const auto* host = view.find<v1::Host>(host_id);
  return host != nullptr ? host->meta().name() : host_id;
}

Result<const v1::Pool*> choose_pool(const Change& change, const std::string& name_or_id, const std::string& host_id) {
  if (!name_or_id.empty()) return change.find<v1::Pool>(name_or_id);
  const View& view = change.view();
  const auto usable = [&](const v1::Pool* pool) {
    return pool != nullptr && !pool->meta().has_deletion() && (host_id.empty() || has_pool(view, host_id, *pool));
  };
  const v1::Pool* pool = view.resolve<v1::Pool>(std::string(model::kDefaultName));
  if (usable(pool)) return pool;
  const v1::Pool* shared = nullptr;
  const v1::Pool* elsewhere = nullptr;
  for (const auto& [name, id] : view.all<v1::Pool>().id_by_name) {
    pool = view.find<v1::Pool>(id);
    if (!usable(pool)) continue;
    if (pool->spec().shared()) {
      if (shared == nullptr) shared = pool;
    } else if (!host_id.empty() || view.own_hosts.contains(pool->spec().host_id())) {
      return pool;
    } else if (elsewhere == nullptr) {
      elsewhere = pool;
    }
  }
  if (shared != nullptr) return shared;
  if (elsewhere != nullptr) return elsewhere;
  return fail(
      ErrorCode::conflict,
      host_id.empty() ? "there is no storage pool" : "host \"" + host_name(view, host_id) + "\" has no storage pool",
      view.all<v1::Host>().by_id.empty() ? "no host has connected yet" : "all pools were deleted",
      "see \"gantry pool list\" and \"gantry host list\"", "no_pool");
}

std::string shared_pool_of(const Change& change, const v1::Image& image) {
  const auto* pool = change.view().find<v1::Pool>(image.spec().pool());
  return pool != nullptr && pool->spec().shared() && !pool->meta().has_deletion() ? pool->meta().id() : std::string();
}

Result<void> check_image_usable(Change& change, const v1::Image& image) {
  const auto& status = image.status();
  if (status.state() == v1::ImageStatus::FAILED) {
    return fail(ErrorCode::conflict, "image \"" + image.meta().name() + "\" cannot be used", status.problem().summary(),
                "delete the image and make it again", "image_failed");
  }
  if (status.state() != v1::ImageStatus::READY) {
    change.warn("image \"" + image.meta().name() + "\" is not ready yet: what is made from it waits for it");
  }
  return {};
}

Result<const v1::Image*> find_disk_image(Change& change, const std::string& name_or_id) {
  auto image = change.find<v1::Image>(name_or_id);
  if (!image) return image;
  if ((*image)->spec().kind() != v1::ImageSpec::DISK) {
    return fail(ErrorCode::invalid_argument, "image \"" + (*image)->meta().name() + "\" cannot be put on a disk",
                "it is a kernel", "use an image of kind DISK");
  }
  if (auto usable = check_image_usable(change, **image); !usable) return fail(std::move(usable.error()));
  return image;
}

Result<const v1::Volume*> make_volume(Change& change, const NewVolumeWish& wish) {
  GANTRY_CHECK(check_wish(change, wish));
  const std::uint64_t bytes = wanted_bytes(wish);
  GANTRY_CHECK(check_promise(change, *wish.pool, bytes));
  auto meta = change.new_meta<v1::Volume>(wish.name, wish.labels);
  if (!meta) return fail(std::move(meta.error()));
  change.promised_bytes[wish.pool->meta().id()] += bytes;

  v1::Volume volume;
  *volume.mutable_meta() = std::move(*meta);
  v1::VolumeSpec& spec = *volume.mutable_spec();
  spec.set_pool(wish.pool->meta().id());
  spec.set_capacity_bytes(bytes);
  spec.set_format(format_in(*wish.pool, wish.format));
  if (wish.image != nullptr) spec.set_image(wish.image->meta().id());
  spec.set_owner_vm_id(wish.owner_vm_id);
  if (wish.pool->spec().shared()) {
    give_to_keeper(volume, wish.host_id.empty() ? choose_keeper(change.view(), *wish.pool) : wish.host_id);
  }
  volume.mutable_status()->set_state(v1::VolumeStatus::PENDING);
  const std::string size = bytes != 0 ? bytes_text(bytes) : "as large as its image";
  change.step("make volume " + wish.name + " (" + size + ", " +
              (spec.format() == v1::VolumeSpec::RAW ? "raw" : "qcow2") +
              (wish.image != nullptr ? ", from image " + wish.image->meta().name() : "") + ") in " +
              pool_text(change.view(), *wish.pool));
  return &change.draft.create(std::move(volume));
}

Result<void> create_volume(Change& change, const v1::CreateVolumeRequest& request) {
  const v1::VolumeSpec& spec = request.spec();
  NewVolumeWish wish{.name = request.name(), .capacity_bytes = spec.capacity_bytes(), .format = spec.format()};
  wish.labels = request.labels();
  std::string image_host;
  std::string pool_name = spec.pool();
  if (!spec.image().empty()) {
    auto image = find_disk_image(change, spec.image());
    if (!image) return fail(std::move(image.error()));
    wish.image = *image;
    if (const auto* pool = change.view().find<v1::Pool>(wish.image->spec().pool())) image_host = pool->spec().host_id();
    if (pool_name.empty()) pool_name = shared_pool_of(change, *wish.image);
  }
  auto pool = choose_pool(change, pool_name, image_host);
  if (!pool) return fail(std::move(pool.error()));
  wish.pool = *pool;
  auto volume = make_volume(change, wish);
  if (!volume) return fail(std::move(volume.error()));
  change.name_target("volume.create", (*volume)->meta());
  return {};
}

Result<void> resize_volume(Change& change, const v1::ResizeVolumeRequest& request) {
  auto target = change.target<v1::Volume>("volume.resize", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Volume& volume = **target;
  GANTRY_CHECK(refuse_copied(change.view(), volume));
  const bool tries_again = model::growth_failed(volume);
  // Not what it has: a growth that failed may still be done late, so what was asked for once is never taken back.
  const std::uint64_t now_bytes = model::promised_bytes(volume);
  const std::string what = "volume \"" + volume.meta().name() + "\"";
  if (volume.status().state() == v1::VolumeStatus::FAILED) {
    return fail(ErrorCode::conflict, what + " cannot grow", volume.status().problem().summary(),
                "delete it and make another", "volume_failed");
  }
  if (request.capacity_bytes() < now_bytes) {
    return fail(ErrorCode::invalid_argument, what + " cannot shrink",
                (tries_again ? "a growth failed and may still be done: it is promised " : "it has ") +
                    bytes_text(now_bytes) + ", " + bytes_text(request.capacity_bytes()) + " are asked for",
                "make a smaller volume and copy", "cannot_shrink");
  }
  for (const std::string& vm_id : change.view().users_of_kind<v1::Vm>(volume.meta().id())) {
    const auto* vm = change.view().find<v1::Vm>(vm_id);
    if (vm == nullptr || !model::holds_memory(*vm)) continue;
    if (model::boot_ended(*vm)) continue;
    return fail(ErrorCode::conflict, what + " is in use", "VM \"" + vm->meta().name() + "\" is not stopped",
                "stop the VM first", "volume_in_use");
  }
  if (request.capacity_bytes() == now_bytes && !tries_again) {
    change.step("nothing: " + what + " has that size");
    change.succeed_at_once();
    return {};
  }
  const auto* pool = change.view().find<v1::Pool>(volume.spec().pool());
  if (pool != nullptr && request.capacity_bytes() > now_bytes) {
    GANTRY_CHECK(check_promise(change, *pool, request.capacity_bytes() - now_bytes));
  }
  replace_lost_keeper(change.draft, volume);
  volume.mutable_spec()->set_capacity_bytes(request.capacity_bytes());
  volume.mutable_meta()->set_generation(volume.meta().generation() + 1);
  change.step("grow " + what + " from " + bytes_text(now_bytes) + " to " + bytes_text(request.capacity_bytes()));
  return {};
}

Result<void> delete_volume(Change& change, const v1::ById& request) {
  auto target = change.target<v1::Volume>("volume.delete", request.id(), true);
  if (!target) return fail(std::move(target.error()));
  v1::Volume& volume = **target;
  GANTRY_CHECK(refuse_copied(change.view(), volume));
  // Whose host deletes it once the guest is gone.
  for (const std::string& vm_id : lasting_users<v1::Vm>(change, volume.meta().id())) {
    const auto* vm = change.view().find<v1::Vm>(vm_id);
    return fail(ErrorCode::conflict, "volume \"" + volume.meta().name() + "\" is in use",
                "VM \"" + (vm != nullptr ? vm->meta().name() : vm_id) + "\" has it as a disk", "delete the VM first",
                "volume_in_use");
  }
  replace_lost_keeper(change.draft, volume);
  change.mark_deleted(*volume.mutable_meta());
  change.step("delete volume " + volume.meta().name() + " (" + bytes_text(model::promised_bytes(volume)) + ")");
  return {};
}

}  // namespace gantry::control
