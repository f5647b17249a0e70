// Where in the store each record stands. A record of kind K with id I is at "/K/I"; "/name/K/N" holds the id of the
// record of that kind named N and keeps names unique.
#pragma once

#include <string>
#include <string_view>

namespace gantry::model {

inline constexpr std::string_view kVm = "vm";
inline constexpr std::string_view kVolume = "volume";
inline constexpr std::string_view kPool = "pool";
inline constexpr std::string_view kImage = "image";
inline constexpr std::string_view kNetwork = "network";
inline constexpr std::string_view kSecurityGroup = "security_group";
inline constexpr std::string_view kHost = "host";
inline constexpr std::string_view kTask = "task";
inline constexpr std::string_view kRule = "rule";
// Never shown by the API or its watches: what users, sessions and tokens are known by, and the cluster's own authority.
inline constexpr std::string_view kUser = "user";
inline constexpr std::string_view kGroup = "group";
inline constexpr std::string_view kSession = "session";
inline constexpr std::string_view kApiToken = "apitoken";
// By the hash of its secret.
inline constexpr std::string_view kHostToken = "hosttoken";
// One, "cluster".
inline constexpr std::string_view kAuthority = "authority";
// One, "manager".
inline constexpr std::string_view kLeader = "leader";

inline std::string prefix_of(std::string_view kind) { return "/" + std::string(kind) + "/"; }
inline std::string record_key(std::string_view kind, std::string_view id) { return prefix_of(kind) + std::string(id); }
inline std::string name_key(std::string_view kind, std::string_view name) {
  return "/name/" + std::string(kind) + "/" + std::string(name);
}
// Holds a v1::IdempotencyKey.
inline std::string idempotency_key(std::string_view actor, std::string_view key) {
  return "/idempotency/" + std::string(actor) + "/" + std::string(key);
}

}  // namespace gantry::model
