#include "app/sentinel/lease_place.h"

#include <functional>

#include "app/sentinel/ceph_client.h"
#include "app/sentinel/lease_file.h"
#include "app/sentinel/lease_object.h"

namespace gantry::sentinel {
namespace {

// In one pool: what one slow placement group holds up is some leases, not those of all guests.
constexpr std::size_t kCephLanes = 4;

}  // namespace

Result<void> LeasePlace::fence(const std::optional<host::LeaseRecord>& /*record*/, const port::LeaseWish& /*wish*/) {
  return fail(ErrorCode::unsupported, "a file system cannot refuse what its clients write");
}

std::shared_ptr<LeasePlace> LeasePlaces::at(const port::LeaseWish& wish) {
  const auto location = model::rbd_location(wish.directory);
  if (!location) return std::make_shared<LeaseFile>(wish.directory, wish.vm_id, wish.is_private);
  const std::size_t number = std::hash<std::string>()(wish.vm_id) % kCephLanes;
  const std::string lane = wish.directory + " " + std::to_string(number);
  auto& pool = ceph_[lane];
  if (!pool) pool = std::make_shared<CephPool>(*location, connect_to_ceph);
  return std::make_shared<LeaseObject>(pool, wish.vm_id, lane);
}

}  // namespace gantry::sentinel
