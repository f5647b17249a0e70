// Whatever is accepted of a user's words stands in the configuration as it was meant, and adds nothing else to it.
#include <cstdlib>

#include "model/ceph_client.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(data, data + size);
  (void)gantry::model::monitors_in(text);
  const auto key = gantry::model::find_ceph_key(text, "admin");
  if (key && !gantry::model::is_ceph_key(*key)) std::abort();
  const auto monitor = gantry::model::parse_ceph_monitor(text);
  if (!monitor) return 0;
  gantry::v1::RbdPool pool;
  pool.add_monitors(text);
  const auto read = gantry::model::monitors_in(gantry::model::ceph_configuration(pool, "/k"));
  if (read.size() != 1 || read.front() != *monitor) std::abort();
  return 0;
}
