// Ceph's client libraries, loaded when the first pool of Ceph is used: a host without one neither needs them nor
// carries the memory that they take. QEMU's module for RBD brings them along (qemu-block-extra).
#pragma once

#include <rados/librados.h>
#include <rbd/librbd.h>

#include "base/result.h"

namespace gantry::sentinel {

struct CephLibrary {
  decltype(&rados_create) create;
  decltype(&rados_conf_read_file) conf_read_file;
  decltype(&rados_conf_set) conf_set;
  decltype(&rados_connect) connect;
  decltype(&rados_shutdown) shutdown;
  decltype(&rados_ioctx_create) ioctx_create;
  decltype(&rados_ioctx_set_namespace) ioctx_set_namespace;
  decltype(&rados_ioctx_destroy) ioctx_destroy;
  decltype(&rados_get_last_version) get_last_version;
  decltype(&rados_read) read;
  decltype(&rados_remove) remove;
  decltype(&rados_create_write_op) create_write_op;
  decltype(&rados_release_write_op) release_write_op;
  decltype(&rados_write_op_create) write_op_create;
  decltype(&rados_write_op_assert_version) write_op_assert_version;
  decltype(&rados_write_op_write_full) write_op_write_full;
  decltype(&rados_write_op_operate) write_op_operate;
  decltype(&rados_blocklist_add) blocklist_add;
  decltype(&rados_wait_for_latest_osdmap) wait_for_latest_osdmap;
  decltype(&rados_break_lock) break_lock;
  decltype(&rbd_open_read_only) open_image;
  decltype(&rbd_close) close_image;
  decltype(&rbd_get_id) image_id;
  decltype(&rbd_list_lockers) list_lockers;
  decltype(&rbd_watchers_list) list_watchers;
  decltype(&rbd_watchers_list_cleanup) free_watchers;
};

// Valid until the process ends.
Result<const CephLibrary*> ceph_library();

}  // namespace gantry::sentinel
