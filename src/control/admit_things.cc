// Admission of images and pools.
#include <algorithm>

#include "control/admission.h"
#include "control/admit_volume.h"
#include "control/choose_host.h"
#include "control/refuse_used.h"
#include "model/state.h"

namespace gantry::control {
namespace {

// Before there is a record: an image that cannot be built would hold its name.
Result<void> check_recipe(const Change& change, const std::string& recipe, const v1::Pool& pool) {
  const auto* host = change.view().find<v1::Host>(pool.spec().host_id());
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

}  // namespace

Result<void> create_image(Change& change, const v1::CreateImageRequest& request) {
  auto meta = change.new_meta<v1::Image>(request.name(), request.labels());
  if (!meta) return fail(std::move(meta.error()));
  auto pool = choose_pool(change, request.spec().pool(), {});
  if (!pool) return fail(std::move(pool.error()));
  if (auto known = check_recipe(change, request.spec().recipe(), **pool); !known) return known;
  const std::string& host_id = (*pool)->spec().host_id();
  if (request.spec().upload() && !change.view().own_hosts.contains(host_id)) {
    return fail(ErrorCode::unsupported, "image \"" + request.name() + "\" takes no upload",
                "its pool \"" + (*pool)->meta().name() + "\" is on host \"" + host_name(change.view(), host_id) +
                    "\", not on the manager's own machine, which takes the upload",
                "make it from an address (gantry image import https://... --sha256 ...) or by a recipe (gantry image "
                "build) with --pool " +
                    (*pool)->meta().name() + ": that host fetches or builds it itself",
                "upload_elsewhere");
  }
  v1::Image image;
  *image.mutable_meta() = std::move(*meta);
  *image.mutable_spec() = request.spec();
  image.mutable_spec()->set_pool((*pool)->meta().id());
  image.mutable_status()->set_state(request.spec().upload() ? v1::ImageStatus::WAITING : v1::ImageStatus::IMPORTING);
  change.name_target("image.create", image.meta());
  const std::string where =
      " into pool " + (*pool)->meta().name() + " on host " + host_name(change.view(), (*pool)->spec().host_id());
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
  if (auto unused = refuse_used<v1::Image, v1::Volume>(change, image, "image_in_use"); !unused) return unused;
  if (auto unused = refuse_used<v1::Image, v1::Vm>(change, image, "image_in_use"); !unused) return unused;
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

Result<void> create_pool(Change& change, const v1::CreatePoolRequest& request) {
  auto meta = change.new_meta<v1::Pool>(request.name(), request.labels());
  if (!meta) return fail(std::move(meta.error()));
  change.name_target("pool.create", *meta);
  auto host = choose_host(change, request.spec().host_id());
  if (!host) return fail(std::move(host.error()));
  const std::string& host_id = (*host)->meta().id();
  for (const std::string& other_id : change.view().users_of_kind<v1::Pool>(host_id)) {
    const auto* other = change.view().find<v1::Pool>(other_id);
    if (other == nullptr || other->spec().path() != request.spec().path()) continue;
    return fail(ErrorCode::conflict, request.spec().path() + " cannot be a pool",
                "it is pool \"" + other->meta().name() + "\" already", "give another directory", "path_in_use");
  }
  v1::Pool pool;
  *pool.mutable_meta() = std::move(*meta);
  *pool.mutable_spec() = request.spec();
  pool.mutable_spec()->set_host_id(host_id);
  change.step("use " + request.spec().path() + " on host " + (*host)->meta().name() + " as pool " + request.name());
  change.draft.create(std::move(pool));
  return {};
}

Result<void> delete_pool(Change& change, const v1::ById& request) {
  auto target = change.target<v1::Pool>("pool.delete", request.id(), true);
  if (!target) return fail(std::move(target.error()));
  v1::Pool& pool = **target;
  if (auto empty = refuse_used<v1::Pool, v1::Volume>(change, pool, "pool_not_empty"); !empty) return empty;
  if (auto empty = refuse_used<v1::Pool, v1::Image>(change, pool, "pool_not_empty"); !empty) return empty;
  change.mark_deleted(*pool.mutable_meta());
  change.step("forget pool " + pool.meta().name() + "; its directory " + pool.spec().path() + " stays");
  return {};
}

}  // namespace gantry::control
