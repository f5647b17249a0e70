#include "app/sentinel/ceph_library.h"

#include <dlfcn.h>

#include <mutex>
#include <optional>

namespace gantry::sentinel {
namespace {

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

bool find_rados(void* rados, CephLibrary& all) {
  return find(rados, "rados_create", all.create) && find(rados, "rados_conf_read_file", all.conf_read_file) &&
         find(rados, "rados_conf_set", all.conf_set) && find(rados, "rados_connect", all.connect) &&
         find(rados, "rados_shutdown", all.shutdown) && find(rados, "rados_ioctx_create", all.ioctx_create) &&
         find(rados, "rados_ioctx_set_namespace", all.ioctx_set_namespace) &&
         find(rados, "rados_ioctx_destroy", all.ioctx_destroy) &&
         find(rados, "rados_get_last_version", all.get_last_version) && find(rados, "rados_read", all.read) &&
         find(rados, "rados_remove", all.remove) && find(rados, "rados_create_write_op", all.create_write_op) &&
         find(rados, "rados_release_write_op", all.release_write_op) &&
         find(rados, "rados_write_op_create", all.write_op_create) &&
         find(rados, "rados_write_op_assert_version", all.write_op_assert_version) &&
         find(rados, "rados_write_op_write_full", all.write_op_write_full) &&
         find(rados, "rados_write_op_operate", all.write_op_operate) &&
         find(rados, "rados_blocklist_add", all.blocklist_add) &&
         find(rados, "rados_wait_for_latest_osdmap", all.wait_for_latest_osdmap) &&
         find(rados, "rados_break_lock", all.break_lock);
}

bool find_rbd(void* rbd, CephLibrary& all) {
  return find(rbd, "rbd_open_read_only", all.open_image) && find(rbd, "rbd_close", all.close_image) &&
         find(rbd, "rbd_get_id", all.image_id) && find(rbd, "rbd_list_lockers", all.list_lockers) &&
         find(rbd, "rbd_watchers_list", all.list_watchers) && find(rbd, "rbd_watchers_list_cleanup", all.free_watchers);
}

}  // namespace

Result<const CephLibrary*> ceph_library() {
  static std::mutex loading;
  static std::optional<CephLibrary> loaded;
  const std::lock_guard lock(loading);
  if (loaded) return &*loaded;
  // Never unloaded: its threads may still run.
  void* const rados = ::dlopen("librados.so.2", RTLD_NOW | RTLD_LOCAL);
  void* const rbd = rados == nullptr ? nullptr : ::dlopen("librbd.so.1", RTLD_NOW | RTLD_LOCAL);
  CephLibrary all{};
  if (rbd != nullptr && find_rados(rados, all) && find_rbd(rbd, all)) return &loaded.emplace(all);
  const char* const why = ::dlerror();
  // It may be installed while this goes on.
  return fail(ErrorCode::unsupported, "cannot load Ceph's client libraries", why == nullptr ? "" : why,
              "apt-get install qemu-block-extra on this host", "no_ceph_library");
}

}  // namespace gantry::sentinel
