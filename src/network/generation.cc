#include "network/generation.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cstring>

#include "base/unique_fd.h"

namespace gantry::network {
namespace {

struct Request {
  nlmsghdr header;
  nfgenmsg family;
};

constexpr std::size_t kAttributesBegin = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(nfgenmsg));
constexpr std::uint16_t kNewGeneration = (NFNL_SUBSYS_NFTABLES << 8U) | NFT_MSG_NEWGEN;

// The attribute NFTA_GEN_ID of an answer of `size` bytes.
std::optional<std::uint32_t> generation_in(const char* answer, std::size_t size) {
  nlmsghdr header{};
  if (size < kAttributesBegin) return std::nullopt;
  std::memcpy(&header, answer, sizeof header);
  if (header.nlmsg_type != kNewGeneration) return std::nullopt;
  std::size_t at = kAttributesBegin;
  while (at + NLA_HDRLEN <= size) {
    nlattr attribute{};
    std::memcpy(&attribute, answer + at, sizeof attribute);
    if (attribute.nla_len < NLA_HDRLEN || at + attribute.nla_len > size) return std::nullopt;
    std::uint32_t value = 0;
    if ((attribute.nla_type & NLA_TYPE_MASK) == NFTA_GEN_ID && attribute.nla_len >= NLA_HDRLEN + sizeof value) {
      std::memcpy(&value, answer + at + NLA_HDRLEN, sizeof value);
      return ntohl(value);
    }
    at += NLA_ALIGN(attribute.nla_len);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint32_t> ruleset_generation() {
  const UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!socket.valid()) return std::nullopt;
  // The kernel answers at once; should it not, nobody waits for it for long.
  const timeval limit{1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  Request request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8U) | NFT_MSG_GETGEN;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.family.nfgen_family = AF_UNSPEC;
  request.family.version = NFNETLINK_V0;
  if (::send(socket.get(), &request, sizeof request, 0) != static_cast<ssize_t>(sizeof request)) return std::nullopt;
  std::array<char, 8192> answer{};
  const ssize_t size = ::recv(socket.get(), answer.data(), answer.size(), 0);
  if (size <= 0) return std::nullopt;
  return generation_in(answer.data(), static_cast<std::size_t>(size));
}

}  // namespace gantry::network
