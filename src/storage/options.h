// What the driver is told once.
#pragma once

#include <map>
#include <string>

namespace gantry::storage {

struct StorageOptions {
  // Seeds of VMs; need not outlive a reboot of the machine, but may.
  std::string seed_directory = "/var/lib/gantry/seeds";
  // What recipes keep for their next run; may be deleted at any time.
  std::string cache_directory = "/var/cache/gantry/images";
  // Name -> program ("debian-12" -> ".../make-debian-image"), called with --output FILE, --cache DIRECTORY and --KEY
  // VALUE for each of the image's recipe_options.
  std::map<std::string, std::string> recipes = {};
  // Certificates trusted for URLs, in PEM, instead of the system's; empty: the system's.
  std::string ca_file = {};
};

}  // namespace gantry::storage
