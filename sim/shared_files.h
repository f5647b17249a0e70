// The truth about the directories that several hosts have: whose each is, and what lies in it. It belongs to no host
// and outlives them all; the checks of what must never happen there sit where it would happen.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "host/lease_record.h"
#include "port/storage.h"
#include "sim/records.h"
#include "sim/swarm.h"
#include "sim/trace.h"

namespace gantry::sim {

class SharedFiles {
 public:
  SharedFiles(Trace& trace, const Swarm& swarm, const Records& records)
      : trace_(trace), swarm_(swarm), records_(records) {}

  struct Volume {
    std::uint64_t capacity_bytes = 0;
    std::string image_path;
    std::uint32_t uid = 0;
  };
  // The leases of the VMs whose pool it is.
  std::map<std::string, host::LeaseRecord> leases;
  // By id, and by path.
  std::map<std::string, Volume> volumes;
  std::set<std::string> images;
  // Of VMs, by id: what their TPMs keep.
  std::set<std::string> tpms;
  // Wherever they were made, and also when they are gone.
  std::set<std::string> tpms_ever;
  // By id: made by a host that had been cut off with it, when another deletes the thing or has. It lies there for
  // good: nobody is its keeper any more.
  std::set<std::string> came_late;
  // The guest that has a volume open, on any host; "": none.
  std::function<std::string(const std::string& volume_id)> user_of;
  // After that nothing goes wrong by itself any more.
  bool calm = false;

  [[nodiscard]] bool has_pool_at(const std::string& path) const { return owners_.contains(path); }
  // As port::Storage has them; the worker of the pool says which host asks.
  Result<v1::PoolStatus> inspect_pool(const port::PoolRequest& request);
  Result<void> release_pool(const port::PoolRequest& request);
  Result<port::VolumeFacts> create_volume(const port::VolumeRequest& request);
  Result<port::VolumeFacts> inspect_volume(const port::VolumeRequest& request);
  Result<port::VolumeFacts> resize_volume(const port::VolumeRequest& request);
  Result<void> delete_volume(const port::VolumeRequest& request);
  Result<port::ImageFacts> import_image(const port::ImageRequest& request);
  Result<port::ImageFacts> inspect_image(const port::ImageRequest& request);
  Result<void> delete_image(const port::ImageRequest& request);

 private:
  [[nodiscard]] Result<void> require(const port::PoolRequest& request) const;
  void note_late(const std::string& id, const std::string& worker);
  // Only who keeps a thing, or kept it once, does anything to it.
  void check_keeper(const std::string& id, const port::PoolRequest& request, const char* deed);

  Trace& trace_;
  const Swarm& swarm_;
  const Records& records_;
  // Path -> the id of the pool whose it is.
  std::map<std::string, std::string> owners_;
};

}  // namespace gantry::sim
