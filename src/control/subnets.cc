#include "control/subnets.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "model/ipv4.h"

namespace gantry::control {
namespace {

// First addresses that are tried in order; in a large and full segment a walk from the start would take too long.
constexpr std::uint64_t kTriedInOrder = 256;

struct Taken {
  model::Ipv4Subnet subnet;
  std::string network;
};

std::vector<Taken> taken_subnets(const View& view) {
  std::vector<Taken> taken;
  for (const auto& [id, network] : view.all<v1::Network>().by_id) {
    if (auto subnet = model::parse_ipv4_subnet(network.spec().ipv4_subnet())) {
      taken.push_back({*subnet, network.meta().name()});
    }
  }
  return taken;
}

const Taken* overlap(const std::vector<Taken>& taken, const model::Ipv4Subnet& subnet) {
  for (const Taken& other : taken) {
    if (other.subnet.overlaps(subnet)) return &other;
  }
  return nullptr;
}

// 192.168.0.0/24 and its neighbours are what most homes have: they come last.
model::Ipv4Subnet candidate_subnet(std::uint32_t candidate) {
  const std::uint32_t n = candidate % 256;
  switch (candidate / 256) {
    case 0: return {{(10U << 24U) | (66U << 16U) | (n << 8U)}, 24};
    case 1: return {{(172U << 24U) | (29U << 16U) | (n << 8U)}, 24};
    default: return {{(192U << 24U) | (168U << 16U) | ((255U - n) << 8U)}, 24};
  }
}

}  // namespace

Result<std::string> choose_subnet(const View& view, const std::string& wanted,
                                  const std::vector<model::Ipv4Subnet>& also_taken) {
  const std::vector<Taken> taken = taken_subnets(view);
  if (!wanted.empty()) {
    auto subnet = model::parse_ipv4_subnet(wanted);
    if (!subnet) return fail(std::move(subnet.error()));
    const Taken* other = overlap(taken, *subnet);
    if (other == nullptr) return model::format_ipv4_subnet(*subnet);
    return fail(ErrorCode::conflict, "the segment " + wanted + " cannot be used",
                "network \"" + other->network + "\" has " + model::format_ipv4_subnet(other->subnet),
                "leave ipv4_subnet out to have a free one chosen", "subnet_in_use");
  }
  const auto is_free = [&](const model::Ipv4Subnet& subnet) {
    const auto overlaps = [&subnet](const HostSubnet& other) { return other.subnet.overlaps(subnet); };
    return overlap(taken, subnet) == nullptr && std::ranges::none_of(view.host_subnets, overlaps) &&
           std::ranges::none_of(also_taken, [&subnet](const auto& other) { return other.overlaps(subnet); });
  };
  for (std::uint32_t candidate = 0; candidate < 3 * 256; ++candidate) {
    const model::Ipv4Subnet subnet = candidate_subnet(candidate);
    if (is_free(subnet)) return model::format_ipv4_subnet(subnet);
  }
  return fail(ErrorCode::conflict, "no segment is left for the network",
              "10.66.0.0/16, 172.29.0.0/16 and 192.168.0.0/16 are taken by other networks or by the host's own",
              "give ipv4_subnet", "subnet_in_use");
}

Result<std::string> choose_address(const std::string& subnet_text, Rng& rng,
                                   const std::function<bool(const std::string&)>& taken) {
  auto subnet = model::parse_ipv4_subnet(subnet_text);
  if (!subnet) return fail(std::move(subnet.error()));
  const std::uint64_t count = subnet->host_count();
  const auto free_at = [&](std::uint64_t n) -> std::optional<std::string> {
    const auto address = subnet->host(n);
    if (!address) return std::nullopt;
    std::string text = model::format_ipv4(*address);
    if (taken(text)) return std::nullopt;
    return text;
  };
  for (std::uint64_t n = 2; n <= std::min(count, kTriedInOrder); ++n) {
    if (auto address = free_at(n)) return *address;
  }
  const std::uint64_t start = count > 2 ? rng.below(count - 1) : 0;
  for (std::uint64_t i = 0; i + 1 < count; ++i) {
    if (auto address = free_at(2 + (start + i) % (count - 1))) return *address;
  }
  return fail(ErrorCode::conflict, "no address is left in " + subnet_text, "its guests have all of them",
              "use another network", "no_address_left");
}

}  // namespace gantry::control
