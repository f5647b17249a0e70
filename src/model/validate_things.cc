// Volumes, images, networks and pools.
#include <algorithm>

#include "model/ceph_client.h"
#include "model/ipv4.h"
#include "model/network_kinds.h"
#include "model/pool_drivers.h"
#include "model/rbd_location.h"
#include "model/validate.h"

namespace gantry::model {
namespace {

template <class Request>
Checked check_head(const Request& request) {
  GANTRY_CHECK(check_name("name", request.name()));
  return check_labels(request.labels());
}

Checked check_source(const v1::ImageSpec& spec) {
  const int sources = (spec.recipe().empty() ? 0 : 1) + (spec.upload() ? 1 : 0) + (spec.url().empty() ? 0 : 1);
  if (sources != 1) {
    return bad_field("spec.recipe", "exactly one of recipe, upload and url is to be given", "give one of them");
  }
  if (!spec.sha256().empty() && !is_sha256_hex(spec.sha256())) {
    return bad_field("spec.sha256", "it is not a SHA-256 in hexadecimal", "use the output of sha256sum");
  }
  if (spec.url().empty()) return {};
  GANTRY_CHECK(check_line("spec.url", spec.url(), 2048));
  if (spec.url().rfind("https://", 0) != 0 || spec.url().find_first_of(" \"'\\<>") != std::string::npos) {
    return bad_field("spec.url", "it is not an address that begins with https://",
                     "give an https address, or download the file and upload it");
  }
  if (spec.sha256().empty())
    return bad_field("spec.sha256", "an image fetched by url needs it", "give what sha256sum prints for the file");
  return {};
}

Checked check_recipe_options(const v1::ImageSpec& spec) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789_-";
  if (spec.recipe_options_size() > 32)
    return bad_field("spec.recipeOptions", "there are more than 32", "leave some out");
  const std::map<std::string, std::string> ordered(spec.recipe_options().begin(), spec.recipe_options().end());
  for (const auto& [key, value] : ordered) {
    if (key.empty() || key.size() > 63 || key.find_first_not_of(kLetters) != std::string::npos) {
      return bad_field("spec.recipeOptions", "a key is not of a-z, 0-9, \"_\" and \"-\"",
                       "use mirror, suite, size or packages");
    }
    GANTRY_CHECK(check_line("spec.recipeOptions." + key, value, 4096));
  }
  return {};
}

bool is_interface(const std::string& name) {
  // What the kernel takes for an interface (IFNAMSIZ is 16 with the final 0), without what shells and files dislike.
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return !name.empty() && name.size() <= 15 && name.find_first_not_of(kLetters) == std::string::npos &&
         name.front() != '.' && name.front() != '-';
}

Checked check_bridge(const v1::NetworkSpec& spec) {
  if (spec.kind() != v1::NetworkSpec::BRIDGE) {
    if (spec.bridge().empty()) return {};
    return bad_field("spec.bridge", "only networks of kind BRIDGE take one", "leave it out, or set kind to BRIDGE");
  }
  if (is_interface(spec.bridge())) return {};
  return bad_field("spec.bridge", "it is not the name of a bridge",
                   "give the name of an existing one: see \"ip link\"");
}

// What only networks on every host have.
Checked check_segment(const v1::NetworkSpec& spec) {
  if (spec.vni() != 0) return bad_field("spec.vni", "it is given by Gantry", "leave it out");
  if (spec.kind() == v1::NetworkSpec::VLAN) {
    GANTRY_CHECK(check_range("spec.vlan", spec.vlan(), 1, 4094));
    if (!is_interface(spec.uplink())) {
      return bad_field("spec.uplink", "it is not the name of an interface",
                       "give the one that carries the VLAN on every host: see \"ip link\"");
    }
  } else if (spec.vlan() != 0 || !spec.uplink().empty()) {
    return bad_field(spec.vlan() != 0 ? "spec.vlan" : "spec.uplink", "only networks of kind VLAN take one",
                     "leave it out, or set kind to VLAN");
  }
  if (spec.mtu() == 0) return {};
  if (!spans_hosts(spec.kind()))
    return bad_field("spec.mtu", "only networks of kind VLAN and OVERLAY take one", "leave it out");
  return check_range("spec.mtu", spec.mtu(), kMtuMin, kMtuMax);
}

Checked check_subnet(const std::string& text) {
  auto subnet = parse_ipv4_subnet(text);
  if (!subnet) {
    return bad_field("spec.ipv4Subnet", "it is not an IPv4 segment", "write it as \"10.66.0.0/24\"");
  }
  return check_range("spec.ipv4Subnet (prefix length)", subnet->prefix_length, 8, 29);
}

Checked check_hosts(const v1::PoolSpec& spec) {
  constexpr int kHostsMax = 1'000;
  const bool shared = spec.shared() || is_in_ceph(spec);
  if (shared && !spec.host_id().empty())
    return bad_field("spec.hostId", "a shared pool is not on one host",
                     "name its hosts in spec.hosts, or none for all");
  if (!shared && !spec.hosts().empty())
    return bad_field("spec.hosts", "only shared pools have several", "set spec.shared, or name one in spec.hostId");
  if (spec.hosts_size() > kHostsMax) return bad_field("spec.hosts", "there are more than 1000", "leave it out for all");
  for (const std::string& host : spec.hosts()) GANTRY_CHECK(check_reference("spec.hosts", host, true));
  return {};
}

Checked check_rbd_name(std::string_view field, std::string_view name) {
  if (is_rbd_name(name)) return {};
  return bad_field(
      field, "it is not 1 to 128 letters, digits, \"-\", \"_\" and \".\"",
      "give the name that Ceph has for it: see \"ceph osd pool ls\", \"rbd namespace ls\" and \"ceph auth ls\"");
}

Checked check_rbd(const v1::PoolSpec& spec) {
  constexpr int kMonitorsMax = 32;
  if (!spec.path().empty())
    return bad_field("spec.path", "a pool of Ceph is no directory", "leave it out, or set the driver to DIR");
  const v1::RbdPool& rbd = spec.rbd();
  GANTRY_CHECK(check_rbd_name("spec.rbd.pool", rbd.pool()));
  if (!rbd.namespace_().empty()) GANTRY_CHECK(check_rbd_name("spec.rbd.namespace", rbd.namespace_()));
  if (!rbd.user().empty()) GANTRY_CHECK(check_rbd_name("spec.rbd.user", rbd.user()));
  if (rbd.monitors().empty() || rbd.monitors_size() > kMonitorsMax)
    return bad_field("spec.rbd.monitors", "there are to be 1 to 32", "give those that \"ceph mon dump\" shows");
  for (const std::string& monitor : rbd.monitors()) {
    if (parse_ceph_monitor(monitor)) continue;
    return bad_field("spec.rbd.monitors", "one is no IP address with or without a port",
                     "write it as 10.0.0.1, 10.0.0.1:6789 or [fd00::1]:3300: see \"ceph mon dump\"");
  }
  if (is_ceph_key(rbd.key())) return {};
  return bad_field("spec.rbd.key", "it is no key of Ceph", "give what \"ceph auth get-key client.NAME\" prints");
}

Checked check_place(const v1::PoolSpec& spec) {
  if (is_in_ceph(spec)) return check_rbd(spec);
  if (spec.has_rbd())
    return bad_field("spec.rbd", "only pools of the driver RBD have it", "leave it out, or set the driver to RBD");
  return check_directory("spec.path", spec.path());
}

}  // namespace

Checked validate(const v1::CreateVolumeRequest& request) {
  GANTRY_CHECK(check_head(request));
  const v1::VolumeSpec& spec = request.spec();
  GANTRY_CHECK(check_reference("spec.pool", spec.pool()));
  GANTRY_CHECK(check_reference("spec.image", spec.image()));
  if (!v1::VolumeSpec::Format_IsValid(spec.format()))
    return bad_field("spec.format", "no such format", std::string(kSeeApi));
  if (!spec.owner_vm_id().empty()) return bad_field("spec.ownerVmId", "it is set by Gantry", "leave it out");
  if (!spec.copy_of().empty()) return bad_field("spec.copyOf", "it is set by Gantry", "leave it out");
  if (spec.image().empty() || spec.capacity_bytes() != 0) {
    return check_range("spec.capacityBytes", spec.capacity_bytes(), kVolumeBytesMin, kVolumeBytesMax);
  }
  return {};
}

Checked validate(const v1::ResizeVolumeRequest& request) {
  GANTRY_CHECK(check_reference("id", request.id(), true));
  return check_range("capacityBytes", request.capacity_bytes(), kVolumeBytesMin, kVolumeBytesMax);
}

Checked validate(const v1::CreateImageRequest& request) {
  GANTRY_CHECK(check_head(request));
  const v1::ImageSpec& spec = request.spec();
  if (!v1::ImageSpec::Kind_IsValid(spec.kind())) return bad_field("spec.kind", "no such kind", std::string(kSeeApi));
  if (!spec.recipe().empty()) {
    GANTRY_CHECK(check_line("spec.recipe", spec.recipe(), 63));
    constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    if (spec.recipe().find_first_not_of(kLetters) != std::string::npos) {
      return bad_field("spec.recipe", "it is not a recipe's name", "try \"debian-12\"");
    }
  }
  GANTRY_CHECK(check_source(spec));
  GANTRY_CHECK(check_reference("spec.pool", spec.pool()));
  GANTRY_CHECK(check_line("spec.kernelArguments", spec.kernel_arguments(), 2048));
  return check_recipe_options(spec);
}

Checked validate(const v1::CreateNetworkRequest& request) {
  GANTRY_CHECK(check_head(request));
  const v1::NetworkSpec& spec = request.spec();
  if (request.name() == "none")
    return bad_field("name", "\"none\" means no network where one is asked for", "choose another name");
  if (!v1::NetworkSpec::Kind_IsValid(spec.kind())) return bad_field("spec.kind", "no such kind", std::string(kSeeApi));
  if (!spec.domain().empty()) GANTRY_CHECK(check_dns_name("spec.domain", spec.domain()));
  GANTRY_CHECK(check_bridge(spec));
  GANTRY_CHECK(check_segment(spec));
  if (spans_hosts(spec.kind()) && !request.host().empty())
    return bad_field("host", "networks of kind VLAN and OVERLAY are on every host", "leave it out");
  if (spec.ipv4_subnet().empty()) return {};
  if (!has_gateway(spec.kind()))
    return bad_field("spec.ipv4Subnet", "only networks of kind NAT and OVERLAY take one", "leave it out");
  return check_subnet(spec.ipv4_subnet());
}

Checked validate(const v1::KeepHostTokenRequest& request) {
  if (!is_sha256_hex(request.secret_hash()))
    return bad_field("secret_hash", "it is not a SHA-256", "give it in hexadecimal");
  return {};
}

// Of a machine that may be anybody's.
Checked validate(const v1::AdmitHostRequest& request) {
  constexpr int kSubnetsMax = 256;
  if (!is_sha256_hex(request.secret_hash()))
    return bad_field("secret_hash", "it is not a SHA-256", "give it in hexadecimal");
  GANTRY_CHECK(check_line("host_name", request.host_name(), 253));
  GANTRY_CHECK(check_directory("pool_path", request.pool_path()));
  if (request.taken_subnets_size() > kSubnetsMax) {
    return bad_field("taken_subnets", "they are more than 256", "leave out what no guest of this machine is to reach");
  }
  for (const std::string& text : request.taken_subnets()) {
    if (!parse_ipv4_subnet(text)) return bad_field("taken_subnets", "one is no IPv4 segment", "10.0.0.0/24 is one");
  }
  return {};
}

Checked validate(const v1::CreatePoolRequest& request) {
  GANTRY_CHECK(check_head(request));
  const v1::PoolSpec& spec = request.spec();
  if (!v1::PoolSpec::Driver_IsValid(spec.driver()))
    return bad_field("spec.driver", "no such driver", std::string(kSeeApi));
  GANTRY_CHECK(check_reference("spec.hostId", spec.host_id()));
  GANTRY_CHECK(check_place(spec));
  GANTRY_CHECK(check_hosts(spec));
  if (spec.overcommit_percent() == 0) return {};
  return check_range("spec.overcommitPercent", spec.overcommit_percent(), 10, 10'000);
}

}  // namespace gantry::model
