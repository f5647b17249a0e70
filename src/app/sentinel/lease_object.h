// The record of one lease as an object in a pool of Ceph: "gantry.lease.<vm_id>". It is only ever written over what was
// read or written here last: a write that comes late finds another version and does nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "app/sentinel/ceph_client.h"
#include "app/sentinel/lease_place.h"

namespace gantry::sentinel {

class LeaseObject final : public LeasePlace {
 public:
  LeaseObject(std::shared_ptr<CephPool> pool, const std::string& vm_id, std::string lane)
      : pool_(std::move(pool)), object_("gantry.lease." + vm_id), lane_(std::move(lane)) {}

  Result<std::optional<host::LeaseRecord>> read() override;
  Result<void> write(const host::LeaseWrite& write) override;
  Result<void> remove() override;
  [[nodiscard]] std::string lane() const override { return lane_; }
  [[nodiscard]] bool fences() const override { return true; }
  // By connections of its own, so that it may be done on another thread than the rest.
  Result<void> fence(const std::optional<host::LeaseRecord>& record, const port::LeaseWish& wish) override;

 private:
  std::shared_ptr<CephPool> pool_;
  std::string object_;
  std::string lane_;
  // Nothing: it is not known, so that it cannot be written over.
  std::optional<std::uint64_t> version_;
};

}  // namespace gantry::sentinel
