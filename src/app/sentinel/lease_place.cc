#include "app/sentinel/lease_place.h"

#include "app/sentinel/ceph_client.h"
#include "app/sentinel/lease_file.h"
#include "app/sentinel/lease_object.h"

namespace gantry::sentinel {

Result<void> LeasePlace::fence(const std::optional<host::LeaseRecord>& /*record*/,
                               const std::vector<std::string>& /*images*/) {
  return fail(ErrorCode::unsupported, "a file system cannot refuse what its clients write");
}

std::shared_ptr<LeasePlace> LeasePlaces::at(const port::LeaseWish& wish) {
  const auto location = model::rbd_location(wish.directory);
  if (!location) return std::make_shared<LeaseFile>(wish.directory, wish.vm_id, wish.is_private);
  auto& pool = ceph_[wish.directory];
  if (!pool) pool = std::make_shared<CephPool>(*location, connect_to_ceph);
  return std::make_shared<LeaseObject>(pool, wish.vm_id);
}

}  // namespace gantry::sentinel
