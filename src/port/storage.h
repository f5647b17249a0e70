// Volumes, images and pools on this host.
//
// Threads: methods are called on the host's executor and return at once; answers and progress come on that executor.
// Every call is answered once. Calls for one object are made one after another. All are idempotent: a call repeated
// after a crash finishes or undoes what was begun. A failed call leaves nothing half-made behind. In a shared pool
// another host may do the same at once, or finish late: to make a thing is then to find it made, and what is there is
// never replaced.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "gantry/v1/storage.pb.h"
#include "gantry/v1/vm.pb.h"
#include "port/hypervisor.h"

namespace gantry::port {

struct PoolRequest {
  // A directory; of a pool of Ceph an RbdLocation as text (model/rbd_location.h), whose configuration the storage
  // writes.
  std::string path;
  // Never seen READY: its directories may be made. Those of any other pool are there as soon as its file system is.
  bool is_new = false;
  // Of a pool that several hosts have: its id. A file in it says so too, or this is not its directory.
  std::string shared_id = {};
  // Of such a pool: this host, whose unfinished work there bears its name.
  std::string worker = {};
  // Of a pool of Ceph: how it is reached.
  v1::RbdPool rbd = {};
};

struct VolumeRequest {
  std::string volume_id;
  PoolRequest pool;
  v1::VolumeSpec::Format format = v1::VolumeSpec::QCOW2;
  std::uint64_t capacity_bytes = 0;
  // The image file it is an overlay (raw: a copy) of; empty: blank. In a pool of Ceph an image there, of which it is a
  // clone, or a file, of which it is a copy.
  std::string image_path;
  // Who may open it; 0: whoever may already.
  std::uint32_t uid = 0;
};

struct VolumeFacts {
  std::string path;
  std::uint64_t capacity_bytes = 0;
  std::uint64_t allocation_bytes = 0;
};

struct ImageRequest {
  std::string image_id;
  PoolRequest pool;
  v1::ImageSpec spec;
  // Another host's to look after: nothing is tidied up.
  bool look_only = false;
};

struct ImageFacts {
  std::string path;
  std::string initramfs_path;
  std::uint64_t virtual_size_bytes = 0;
  std::uint64_t allocation_bytes = 0;
};

using ProgressCallback = std::function<void(const v1::Progress&)>;
using VolumeDone = std::function<void(Result<VolumeFacts>)>;
using ImageDone = std::function<void(Result<ImageFacts>)>;

class Storage {
 public:
  virtual ~Storage() = default;

  // Here and below: unavailable with the reason pool_unusable while nothing of a pool that is not new is there, which
  // is how a file system that is not mounted looks. Checks that the pool can be written, after making the directories
  // of a new one.
  virtual void inspect_pool(const PoolRequest& request, std::function<void(Result<v1::PoolStatus>)> done) = 0;
  // Of a shared pool that goes: takes away what says whose directory it is. Nothing to do where that is not there, or
  // says another; nor, of a pool of Ceph, where Ceph cannot be reached.
  virtual void release_pool(const PoolRequest& request, Done done) = 0;

  virtual void create_volume(const VolumeRequest& request, ProgressCallback progress, VolumeDone done) = 0;
  // not_found when there is none, corrupt when it cannot be read.
  virtual void inspect_volume(const VolumeRequest& request, VolumeDone done) = 0;
  // While no guest has it open. Growing only.
  virtual void resize_volume(const VolumeRequest& request, VolumeDone done) = 0;
  // Stops a creation of that volume under way.
  virtual void delete_volume(const VolumeRequest& request, Done done) = 0;

  // From a recipe, a URL or what was uploaded (see upload_path). Refuses content that points at another file.
  virtual void import_image(const ImageRequest& request, ProgressCallback progress, ImageDone done) = 0;
  virtual void inspect_image(const ImageRequest& request, ImageDone done) = 0;
  // Stops an import of that image under way.
  virtual void delete_image(const ImageRequest& request, Done done) = 0;

  // Makes the NoCloud seed of a VM and answers its path; empty when the VM asks for none. Its files are `name` ->
  // content ("user-data"...).
  virtual void make_seed(const std::string& vm_id, std::uint32_t uid, const std::map<std::string, std::string>& files,
                         std::function<void(Result<std::string>)> done) = 0;
  virtual void delete_seed(const std::string& vm_id, Done done) = 0;
  // What the VM's TPM kept in that pool (tpm_directory()), when its process has ended.
  virtual void delete_tpm(const PoolRequest& pool, const std::string& vm_id, Done done) = 0;
};

// Where the TPM of a VM with its lease in that pool keeps what it must not forget.
inline std::string tpm_directory(const std::string& pool_path, const std::string& vm_id) {
  return pool_path + "/tpm/" + vm_id;
}

}  // namespace gantry::port
