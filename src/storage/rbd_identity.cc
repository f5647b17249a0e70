#include "storage/rbd_identity.h"

#include "storage/paths.h"
#include "storage/rbd_tools.h"

namespace gantry::storage::rbd {
namespace {

constexpr char kObject[] = "gantry-pool";
// More than it takes to write it.
constexpr char kLockSeconds[] = "60";

}  // namespace

Result<std::string> read_identity(const model::RbdLocation& pool) {
  auto text = call_rados(pool, {"get", kObject, "-"});
  if (!text && text.error().code == ErrorCode::not_found) return std::string();
  if (!text) return fail(explain_ceph(text.error(), "cannot use pool " + place_text(pool) + " of Ceph", pool));
  std::string id = text->substr(0, text->find('\n'));
  // It is shown to people, and may be anything. Without anything in it, somebody was about to write it.
  if (id.empty() || check_id(id, "pool")) return id;
  return std::string("one of another kind");
}

Result<void> check_identity(const port::PoolRequest& request, const model::RbdLocation& pool) {
  const auto found = read_identity(pool);
  if (!found) return fail(found.error());
  if (*found == request.shared_id) return {};
  if (found->empty()) {
    return fail(unusable_pool(pool, std::string("there is no object ") + kObject + " in it: what it held was removed",
                              "if what it held is lost for good, delete the pool"));
  }
  return fail(unusable_pool(pool, "it belongs to another pool of Gantry, " + *found,
                            std::string("give another; if that pool is gone for good: rados --pool ") + pool.pool +
                                (pool.name_space.empty() ? "" : " --namespace " + pool.name_space) + " rm " + kObject));
}

Result<void> make_identity(const port::PoolRequest& request, const model::RbdLocation& pool) {
  // The lock makes the object, with nothing in it.
  const auto locked = call_rados(
      pool, {"lock", "get", kObject, "gantry", "--lock-cookie", request.worker, "--lock-duration", kLockSeconds});
  if (!locked && locked.error().code == ErrorCode::conflict) {
    return fail(unusable_pool(pool, "somebody makes it a pool of Gantry at this moment", "it is tried again"));
  }
  if (!locked) return fail(explain_ceph(locked.error(), "cannot make pool " + place_text(pool) + " of Ceph", pool));
  const auto found = read_identity(pool);
  if (!found) return fail(found.error());
  if (!found->empty()) return check_identity(request, pool);
  const auto written = call_rados(pool, {"put", kObject, "-"}, request.shared_id + "\n");
  if (!written) return fail(explain_ceph(written.error(), "cannot make pool " + place_text(pool) + " of Ceph", pool));
  return {};
}

Result<void> remove_identity(const port::PoolRequest& request, const model::RbdLocation& pool) {
  const auto found = read_identity(pool);
  if (!found) return fail(found.error());
  if (*found != request.shared_id) return {};
  const auto removed = call_rados(pool, {"rm", kObject});
  if (removed || removed.error().code == ErrorCode::not_found) return {};
  return fail(removed.error());
}

}  // namespace gantry::storage::rbd
