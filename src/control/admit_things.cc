// Admission of images and pools.
#include <algorithm>
#include <set>

#include "control/admission.h"
#include "control/admit_volume.h"
#include "control/choose_host.h"
#include "control/keepers.h"
#include "control/pool_hosts.h"
#include "control/refuse_used.h"
#include "model/pool_drivers.h"
#include "model/state.h"

namespace gantry::control {
namespace {

// Guests boot kernels from files on their host.
Result<void> check_kind(const v1::CreateImageRequest& request, const v1::Pool& pool) {
  if (request.spec().kind() != v1::ImageSpec::KERNEL || !model::is_in_ceph(pool.spec())) return {};
  return fail(ErrorCode::unsupported,
              "image \"" + request.name() + "\" cannot be in pool \"" + pool.meta().name() + "\"",
              "it is a kernel, and the pool is one of Ceph, which holds disks", "name a pool that is a directory",
              "kernel_in_ceph");
}

// Before there is a record: an image that cannot be built would hold its name.
Result<void> check_recipe(const Change& change, const std::string& recipe, const std::string& host_id) {
  const auto* host = change.view().find<v1::Host>(host_id);
  if (recipe.empty() || host == nullptr) return {};
  const auto& recipes = host->status().recipes();
  // It has not told yet; should it not know this one, it says so when it is to build.
  if (recipes.empty()) return {};
  if (std::find(recipes.begin(), recipes.end(), recipe) != recipes.end()) return {};
  std::string known;
  for (const std::string& one : recipes) known += (known.empty() ? "" : ", ") + one;
  return fail(ErrorCode::not_found, "there is no recipe \"" + recipe + "\"",
              "host " + host->meta().name() + " knows " + known, "use one of those, or upload an image",
              "no_such_recipe");
}

// The manager's own machine takes uploads, and writes them into the pool.
Result<void> check_upload(const Change& change, const v1::CreateImageRequest& request, const v1::Pool& pool) {
  if (!request.spec().upload()) return {};
  const auto& own = change.view().own_hosts;
  const bool takes = std::any_of(own.begin(), own.end(), [&](const std::string& host) {
    return has_pool(change.view(), host, pool) && pool_obstacle(pool, host).empty();
  });
  if (takes) return {};
  const std::string cause = pool.spec().shared()
                                ? "the manager's own machine, which takes the upload, does not have its " +
                                      pool_text(change.view(), pool) + ", or cannot use it"
                                : "its pool \"" + pool.meta().name() + "\" is on host \"" +
                                      host_name(change.view(), pool.spec().host_id()) +
                                      "\", not on the manager's own machine, which takes the upload";
  return fail(ErrorCode::unsupported, "image \"" + request.name() + "\" takes no upload", cause,
              "make it from an address (gantry image import https://... --sha256 ...) or by a recipe (gantry image "
              "build) with --pool " +
                  pool.meta().name() + ": a host that has the pool fetches or builds it itself",
              "upload_elsewhere");
}

}  // namespace

Result<void> create_image(Change& change, const v1::CreateImageRequest& request) {
  auto meta = change.new_meta<v1::Image>(request.name(), request.labels());
  if (!meta) return fail(std::move(meta.error()));
  auto pool = choose_pool(change, request.spec().pool(), {});
  if (!pool) return fail(std::move(pool.error()));
  if (auto fits = check_kind(request, **pool); !fits) return fits;
  const bool shared = (*pool)->spec().shared();
  const KeeperWish wish{.recipe = request.spec().recipe(), .upload = request.spec().upload()};
  const std::string host_id =
      shared ? choose_keeper(change.view(), **pool, wish) : std::string((*pool)->spec().host_id());
  if (auto known = check_recipe(change, request.spec().recipe(), host_id); !known) return known;
  if (auto takes = check_upload(change, request, **pool); !takes) return takes;
  v1::Image image;
  *image.mutable_meta() = std::move(*meta);
  *image.mutable_spec() = request.spec();
  image.mutable_spec()->set_pool((*pool)->meta().id());
  image.mutable_status()->set_state(request.spec().upload() ? v1::ImageStatus::WAITING : v1::ImageStatus::IMPORTING);
  if (shared) give_to_keeper(image, host_id);
  change.name_target("image.create", image.meta());
  const std::string where = " into " + pool_text(change.view(), **pool);
  if (request.spec().upload()) {
    change.step("wait for the content of image " + request.name() + " to be uploaded");
    change.step("check and import it" + where);
  } else if (!request.spec().recipe().empty()) {
    change.step("build image " + request.name() + " by recipe " + request.spec().recipe() + where);
  } else {
    change.step("fetch image " + request.name() + " from " + request.spec().url() + where);
  }
  change.draft.create(std::move(image));
  return {};
}

Result<void> delete_image(Change& change, const v1::ById& request) {
  auto target = change.target<v1::Image>("image.delete", request.id(), true);
  if (!target) return fail(std::move(target.error()));
  v1::Image& image = **target;
  // Its host deletes it once those that are being deleted are gone.
  const std::string refusal = Change::quoted<v1::Image>("cannot delete the", image.meta().name());
  const std::string& id = image.meta().id();
  GANTRY_CHECK(refuse_users<v1::Volume>(change, lasting_users<v1::Volume>(change, id), refusal, "image_in_use"));
  GANTRY_CHECK(refuse_users<v1::Vm>(change, lasting_users<v1::Vm>(change, id), refusal, "image_in_use"));
  replace_lost_keeper(change.draft, image);
  change.mark_deleted(*image.mutable_meta());
  change.step("delete image " + image.meta().name());
  return {};
}

Result<void> announce_upload(Change& change, const std::string& image_name) {
  auto target = change.target<v1::Image>("image.upload", image_name);
  if (!target) return fail(std::move(target.error()));
  v1::Image& image = **target;
  if (auto takes = model::check_takes_upload(image); !takes) return takes;
  change.step("take the content of image " + image.meta().name());
  // A new generation makes the host look for the content at once.
  image.mutable_meta()->set_generation(image.meta().generation() + 1);
  return {};
}

namespace {

// "/srv/fast", "vms of Ceph", "vms/blue of Ceph".
std::string place_text(const v1::PoolSpec& spec) {
  if (!model::is_in_ceph(spec)) return spec.path();
  const v1::RbdPool& rbd = spec.rbd();
  return rbd.pool() + (rbd.namespace_().empty() ? "" : "/" + rbd.namespace_()) + " of Ceph";
}

// Of one Ceph and another with pools of the same names, what the hosts find in them tells them apart.
bool is_same_place(const v1::PoolSpec& one, const v1::PoolSpec& other) {
  if (model::is_in_ceph(one) != model::is_in_ceph(other)) return false;
  if (!model::is_in_ceph(one)) return one.path() == other.path();
  const auto monitors = [](const v1::RbdPool& rbd) {
    return std::set<std::string>(rbd.monitors().begin(), rbd.monitors().end());
  };
  return one.rbd().pool() == other.rbd().pool() && one.rbd().namespace_() == other.rbd().namespace_() &&
         monitors(one.rbd()) == monitors(other.rbd());
}

Result<void> check_place_free(const Change& change, const v1::PoolSpec& spec, const std::string& host_id) {
  for (const std::string& other_id : pools_of_host(change.view(), host_id)) {
    const auto* other = change.view().find<v1::Pool>(other_id);
    if (other == nullptr || !is_same_place(other->spec(), spec)) continue;
    return fail(
        ErrorCode::conflict, place_text(spec) + " cannot be a pool",
        "it is pool \"" + other->meta().name() + "\" already on host \"" + host_name(change.view(), host_id) + "\"",
        model::is_in_ceph(spec) ? "give another pool of Ceph, or a namespace in it" : "give another directory",
        "path_in_use");
  }
  return {};
}

Result<void> put_pool_on_host(Change& change, v1::Pool& pool) {
  auto host = choose_host(change, pool.spec().host_id());
  if (!host) return fail(std::move(host.error()));
  pool.mutable_spec()->set_host_id((*host)->meta().id());
  change.step("use " + place_text(pool.spec()) + " on host " + (*host)->meta().name() + " as pool " +
              pool.meta().name());
  return {};
}

// One host alone makes it (see maker_of): the first that was named, or the one that new things are put on.
Result<void> share_pool(Change& change, v1::Pool& pool) {
  v1::PoolSpec& spec = *pool.mutable_spec();
  std::string names;
  std::vector<std::string> ids;
  for (const std::string& named : spec.hosts()) {
    auto host = change.find<v1::Host>(named);
    if (!host) return fail(std::move(host.error()));
    const std::string& id = (*host)->meta().id();
    if (std::find(ids.begin(), ids.end(), id) != ids.end()) continue;
    ids.push_back(id);
    names += (names.empty() ? "" : ", ") + (*host)->meta().name();
  }
  auto maker = choose_host(change, ids.empty() ? std::string() : ids.front());
  if (!maker) return fail(std::move(maker.error()));
  spec.mutable_hosts()->Assign(ids.begin(), ids.end());
  pool.mutable_status()->add_hosts()->set_host_id((*maker)->meta().id());
  change.step("make " + place_text(spec) + " a shared pool on host " + (*maker)->meta().name() +
              (model::is_in_ceph(spec) ? "" : ", where it must be mounted already"));
  change.step("use it as pool " + pool.meta().name() + " on " + (names.empty() ? "every host" : "hosts " + names));
  if ((*maker)->status().state() != v1::HostStatus::CONNECTED) {
    change.warn("host " + (*maker)->meta().name() + " is not connected: this waits until it is");
  }
  return {};
}

}  // namespace

Result<void> create_pool(Change& change, const v1::CreatePoolRequest& request) {
  auto meta = change.new_meta<v1::Pool>(request.name(), request.labels());
  if (!meta) return fail(std::move(meta.error()));
  change.name_target("pool.create", *meta);
  v1::Pool pool;
  *pool.mutable_meta() = std::move(*meta);
  *pool.mutable_spec() = request.spec();
  if (model::is_in_ceph(pool.spec())) {
    pool.mutable_spec()->set_shared(true);
    if (pool.spec().rbd().user().empty()) pool.mutable_spec()->mutable_rbd()->set_user("admin");
  }
  GANTRY_CHECK(pool.spec().shared() ? share_pool(change, pool) : put_pool_on_host(change, pool));
  for (const std::string& host_id : hosts_of_pool(change.view(), pool)) {
    GANTRY_CHECK(check_place_free(change, pool.spec(), host_id));
  }
  change.draft.create(std::move(pool));
  return {};
}

Result<void> delete_pool(Change& change, const v1::ById& request) {
  auto target = change.target<v1::Pool>("pool.delete", request.id(), true);
  if (!target) return fail(std::move(target.error()));
  v1::Pool& pool = **target;
  if (auto empty = refuse_used<v1::Pool, v1::Volume>(change, pool, "pool_not_empty"); !empty) return empty;
  if (auto empty = refuse_used<v1::Pool, v1::Image>(change, pool, "pool_not_empty"); !empty) return empty;
  // Its disks may have been moved elsewhere, its lease is where it was.
  if (auto empty = refuse_used<v1::Pool, v1::Vm>(change, pool, "pool_not_empty"); !empty) return empty;
  change.mark_deleted(*pool.mutable_meta());
  const std::string place = place_text(pool.spec());
  change.step("forget pool " + pool.meta().name() + "; " +
              (model::is_in_ceph(pool.spec()) ? place : "its directory " + place) + " stays");
  return {};
}

}  // namespace gantry::control
