#include "model/ipv4.h"

#include <algorithm>
#include <charconv>

namespace gantry::model {
namespace {

constexpr unsigned kBits = 32;

// A decimal number without leading zeros, taken off the front of `text`.
std::optional<unsigned> take_number(std::string_view& text, unsigned most) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value > most) return std::nullopt;
  const auto length = static_cast<std::size_t>(end - text.data());
  if (length > 1 && text.front() == '0') return std::nullopt;
  text.remove_prefix(length);
  return value;
}

std::uint32_t mask_of(unsigned prefix_length) {
  return prefix_length == 0 ? 0 : ~std::uint32_t{0} << (kBits - std::min(prefix_length, kBits));
}

tl::unexpected<Error> not_an_address(std::string_view text) {
  return fail(ErrorCode::invalid_argument, "\"" + std::string(text) + "\" is not an IPv4 address", {},
              "write it like 10.66.0.2");
}

tl::unexpected<Error> not_a_subnet(std::string_view text, std::string cause) {
  return fail(ErrorCode::invalid_argument, "\"" + std::string(text) + "\" is not an IPv4 subnet", std::move(cause),
              "write it like 10.66.0.0/24");
}

}  // namespace

Result<Ipv4Address> parse_ipv4(std::string_view text) {
  std::string_view rest = text;
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    if (i > 0) {
      if (rest.empty() || rest.front() != '.') return not_an_address(text);
      rest.remove_prefix(1);
    }
    const auto byte = take_number(rest, 255);
    if (!byte) return not_an_address(text);
    value = value << 8U | *byte;
  }
  if (!rest.empty()) return not_an_address(text);
  return Ipv4Address{value};
}

std::string format_ipv4(Ipv4Address address) {
  std::string text;
  for (unsigned shift = kBits; shift > 0; shift -= 8) {
    if (!text.empty()) text += '.';
    text += std::to_string(address.value >> (shift - 8) & 0xffU);
  }
  return text;
}

std::uint32_t Ipv4Subnet::mask() const { return mask_of(prefix_length); }

Ipv4Address Ipv4Subnet::last() const { return {first.value | ~mask()}; }

bool Ipv4Subnet::contains(Ipv4Address address) const { return (address.value & mask()) == first.value; }

bool Ipv4Subnet::overlaps(const Ipv4Subnet& other) const { return contains(other.first) || other.contains(first); }

std::uint64_t Ipv4Subnet::host_count() const {
  const std::uint64_t all = std::uint64_t{last().value} - first.value + 1;
  return all < 4 ? 0 : all - 2;
}

std::optional<Ipv4Address> Ipv4Subnet::host(std::uint64_t n) const {
  if (n == 0 || n > host_count()) return std::nullopt;
  return Ipv4Address{first.value + static_cast<std::uint32_t>(n)};
}

Ipv4Subnet subnet_of(Ipv4Address address, unsigned prefix_length) {
  const unsigned length = std::min(prefix_length, kBits);
  return {{address.value & mask_of(length)}, length};
}

Result<Ipv4Subnet> parse_ipv4_subnet(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return not_a_subnet(text, "it has no prefix length");
  const auto address = parse_ipv4(text.substr(0, slash));
  if (!address) return not_a_subnet(text, "what stands before the slash is not an IPv4 address");
  std::string_view rest = text.substr(slash + 1);
  const auto length = take_number(rest, kBits);
  if (!length || !rest.empty()) return not_a_subnet(text, "the prefix length is not a number from 0 to 32");
  const Ipv4Subnet subnet = subnet_of(*address, *length);
  if (subnet.first != *address) {
    return not_a_subnet(text, "it has bits set behind its prefix; the subnet would be " + format_ipv4_subnet(subnet));
  }
  return subnet;
}

std::string format_ipv4_subnet(const Ipv4Subnet& subnet) {
  return format_ipv4(subnet.first) + "/" + std::to_string(subnet.prefix_length);
}

}  // namespace gantry::model
