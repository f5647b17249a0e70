// The record of one lease on its pool: POOL/leases/<vm_id>, one block that is overwritten in place. Read and written
// past this host's caches (O_DIRECT), so that hosts see each other's; on a private pool only where the file system can.
// Opened anew each time, which is what NFS asks for. Blocks for as long as the pool does.
#pragma once

#include <optional>
#include <string>

#include "app/sentinel/lease_place.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "host/lease.h"

namespace gantry::sentinel {

class LeaseFile final : public LeasePlace {
 public:
  LeaseFile(std::string pool_directory, std::string vm_id, bool is_private)
      : pool_directory_(std::move(pool_directory)), vm_id_(std::move(vm_id)), is_private_(is_private) {}

  // Fails while nothing of the pool is there, as when its file system is not mounted.
  [[nodiscard]] Result<std::optional<host::LeaseRecord>> read() override;
  [[nodiscard]] Result<void> write(const host::LeaseWrite& write) override;
  [[nodiscard]] Result<void> remove() override;
  [[nodiscard]] std::string lane() const override { return pool_directory_; }

 private:
  [[nodiscard]] std::string directory() const { return pool_directory_ + "/leases"; }
  [[nodiscard]] std::string path() const { return directory() + "/" + vm_id_; }
  [[nodiscard]] Result<void> check_pool() const;
  [[nodiscard]] Result<void> pass_caches(const UniqueFd& file) const;

  std::string pool_directory_;
  std::string vm_id_;
  bool is_private_;
};

}  // namespace gantry::sentinel
