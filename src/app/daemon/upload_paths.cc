#include "app/daemon/upload_paths.h"

#include <chrono>
#include <future>
#include <memory>

#include "gantry/v1/routes.pb.h"
#include "model/pool_drivers.h"
#include "storage/paths.h"
#include "storage/pools.h"
#include "storage/rbd_pool.h"

namespace gantry::app {
namespace {

// Of a shared pool only where it was seen to be there: what is written to a directory that is not it would be lost.
Result<void> check_usable(const v1::Pool& pool, const std::string& own_host_id) {
  if (!pool.spec().shared()) return {};
  for (const v1::PoolOnHost& there : pool.status().hosts()) {
    if (there.host_id() == own_host_id && there.state() == v1::PoolStatus::READY) return {};
  }
  return fail(ErrorCode::unavailable, "cannot take the upload now",
              "shared pool \"" + pool.meta().name() + "\" is not ready on the manager's own machine",
              "see gantry pool show " + pool.meta().name(), "pool_unusable");
}

// Into Ceph it goes by way of this machine's own disk: the host that was to make the image may be another manager's.
Result<void> check_makes(const v1::Image& image, const std::string& own_host_id) {
  if (image.keeper().host_id() == own_host_id) return {};
  return fail(ErrorCode::unavailable, "cannot take the upload here",
              "another host makes image \"" + image.meta().name() + "\", and its pool is one of Ceph",
              "send it to that host's manager; if that is gone, delete the image and import it again",
              "upload_elsewhere");
}

}  // namespace

Result<std::string> find_upload_path(port::Manager& manager, const std::string& own_host_id,
                                     const std::string& ceph_directory, const v1::Image& image) {
  v1::ById request;
  request.set_id(image.spec().pool());
  // Shared: the answer may come after we stopped waiting.
  auto answer = std::make_shared<std::promise<Result<v1::Pool>>>();
  auto pool = answer->get_future();
  manager.call("GetPool", request, {.actor = "local-root"}, [answer](auto found) {
    if (!found) {
      answer->set_value(fail(found.error()));
    } else {
      answer->set_value(dynamic_cast<const v1::Pool&>(**found));
    }
  });
  if (pool.wait_for(std::chrono::seconds(5)) != std::future_status::ready) {
    return fail(ErrorCode::unavailable, "cannot take the upload now", "the manager is busy", "try again");
  }
  const auto found = pool.get();
  if (!found) return fail(found.error());
  if (auto usable = check_usable(*found, own_host_id); !usable) return fail(usable.error());
  if (!model::is_in_ceph(found->spec())) {
    return storage::upload_path(found->spec().path(), image.meta().id());
  }
  if (auto makes = check_makes(image, own_host_id); !makes) return fail(makes.error());
  const std::string local = storage::rbd::local_part(found->meta().id(), ceph_directory).path;
  if (auto made = storage::make_pool_directories(local); !made) return fail(made.error());
  return storage::upload_path(local, image.meta().id());
}

}  // namespace gantry::app
