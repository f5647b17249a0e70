#include "app/daemon/upload_paths.h"

#include <chrono>
#include <future>
#include <memory>

#include "gantry/v1/routes.pb.h"
#include "storage/paths.h"

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

}  // namespace

Result<std::string> find_upload_path(port::Manager& manager, const std::string& own_host_id, const v1::Image& image) {
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
  return storage::upload_path(found->spec().path(), image.meta().id());
}

}  // namespace gantry::app
