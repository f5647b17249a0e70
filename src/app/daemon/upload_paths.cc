#include "app/daemon/upload_paths.h"

#include <chrono>
#include <future>
#include <memory>

#include "gantry/v1/routes.pb.h"
#include "storage/paths.h"

namespace gantry::app {

Result<std::string> find_upload_path(port::Manager& manager, const v1::Image& image) {
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
  return storage::upload_path(found->spec().path(), image.meta().id());
}

}  // namespace gantry::app
