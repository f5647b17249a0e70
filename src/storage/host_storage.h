// The storage of a host: pools of the driver `dir`, with volumes and images as files in a directory, made by qemu-img
// (pools.h, volumes.h, images.h), and of the driver `rbd`, with images of Ceph (rbd_pool.h, rbd_volumes.h,
// rbd_images.h). Each call goes to the one or the other by where its pool is.
//
// Nothing is kept in memory but what is under way: the files are the truth. A file has its final name only when it is
// complete and synced, so a crash at any moment leaves only files that inspect_pool or the next call for the same
// object removes.
#pragma once

#include <memory>

#include "port/executor.h"
#include "port/storage.h"
#include "runtime/worker_pool.h"
#include "storage/options.h"

namespace gantry::storage {

struct Workers {
  // For what takes milliseconds.
  runtime::WorkerPool& quick;
  // For imports and copies; two threads are enough.
  runtime::WorkerPool& slow;
};

class HostStorage final : public port::Storage {
 public:
  // `shared` do the work in pools that several hosts have: a server of such a pool that hangs takes them all, and pools
  // of this host alone are still worked in. All must outlive this; the workers are best destroyed next, which waits for
  // what is under way and was cancelled here.
  HostStorage(port::Executor& executor, Workers own, Workers shared, StorageOptions options);
  // On the executor's thread, or when it runs no more. Cancels what is under way; nothing is answered afterwards.
  ~HostStorage() override;
  HostStorage(const HostStorage&) = delete;
  HostStorage& operator=(const HostStorage&) = delete;

  void inspect_pool(const port::PoolRequest& request, std::function<void(Result<v1::PoolStatus>)> done) override;
  void release_pool(const port::PoolRequest& request, port::Done done) override;
  void create_volume(const port::VolumeRequest& request, port::ProgressCallback progress,
                     port::VolumeDone done) override;
  void inspect_volume(const port::VolumeRequest& request, port::VolumeDone done) override;
  void resize_volume(const port::VolumeRequest& request, port::VolumeDone done) override;
  void delete_volume(const port::VolumeRequest& request, port::Done done) override;
  void import_image(const port::ImageRequest& request, port::ProgressCallback progress, port::ImageDone done) override;
  void inspect_image(const port::ImageRequest& request, port::ImageDone done) override;
  void delete_image(const port::ImageRequest& request, port::Done done) override;
  void make_seed(const std::string& vm_id, std::uint32_t uid, const std::map<std::string, std::string>& files,
                 std::function<void(Result<std::string>)> done) override;
  void delete_seed(const std::string& vm_id, port::Done done) override;
  void delete_tpm(const port::PoolRequest& pool, const std::string& vm_id, port::Done done) override;

 private:
  class Queue;
  std::shared_ptr<Queue> queue_;
  StorageOptions options_;
};

}  // namespace gantry::storage
