#include "server/roles.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "model/keys.h"

namespace gantry::server {
namespace {

v1::Role role_of_groups(const v1::User& user, const port::Range& groups) {
  v1::Role role = v1::NO_ROLE;
  for (const port::Entry& entry : groups.entries) {
    v1::Group group;
    if (!group.ParseFromString(entry.value)) continue;
    if (std::find(user.groups().begin(), user.groups().end(), group.meta().id()) == user.groups().end()) continue;
    role = std::max(role, group.role());
  }
  return role;
}

}  // namespace

v1::Role own_role(const v1::User& user) { return user.has_role() ? user.role() : v1::ADMINISTRATOR; }

void find_standing(const StoreClient& store, const std::string& name,
                   std::function<void(Result<std::optional<Standing>>)> done) {
  using Found = Result<std::optional<port::Entry>>;
  store.get(model::record_key(model::kUser, name), [store, done = std::move(done)](const Found& found) {
    if (!found) return done(fail(found.error()));
    v1::User user;
    if (!*found || !user.ParseFromString((*found)->value) || user.disabled()) return done(std::nullopt);
    using google::protobuf::util::TimeUtil;
    Standing standing{user.meta().id(), TimeUtil::TimestampToMilliseconds(user.meta().created_at()), own_role(user)};
    if (user.groups().empty()) return done(standing);
    store.range(model::prefix_of(model::kGroup), [user, standing, done](const Result<port::Range>& groups) {
      if (!groups) return done(fail(groups.error()));
      Standing with_groups = standing;
      with_groups.role = std::max(standing.role, role_of_groups(user, *groups));
      done(with_groups);
    });
  });
}

Result<void> check_role(v1::Role needed, const Caller& caller) {
  if (caller.role >= needed) return {};
  const std::string cause = "it needs the role " + role_word(needed) + "; ";
  if (caller.role_max != v1::NO_ROLE && caller.role_max < needed) {
    return fail(ErrorCode::permission_denied, "this API token may not do that",
                cause + "the token was made for " + role_word(caller.role_max) + "s",
                "make another one: gantry token create NAME --role " + role_word(needed), "role_needed");
  }
  return fail(ErrorCode::permission_denied, "user \"" + caller.user + "\" may not do that",
              cause + (caller.role == v1::NO_ROLE ? "this user has none" : "this user has " + role_word(caller.role)),
              "ask an administrator: gantry user set " + caller.user + " --role " + role_word(needed), "role_needed");
}

Result<void> check_permitted(const v1::Route& route, const Caller& caller) {
  if (route.anonymous()) return {};
  if (route.own()) {
    if (route.method() == "GET" || caller.role_max == v1::NO_ROLE) return {};
    return fail(ErrorCode::permission_denied, "this API token may not do that",
                "it was made for a role, and changes nothing about its user's sessions, tokens and password",
                "sign in with the password, or use a token made without --role", "role_needed");
  }
  if (route.role() == v1::NO_ROLE) {
    return fail(ErrorCode::permission_denied, "nobody may do that", "no role is stated for " + route.path(),
                "this is a defect: please report it", "role_needed");
  }
  if (auto may = check_role(route.role(), caller); !may) return may;
  if (!route.no_api_token() || caller.kind != v1::CurrentSession::API_TOKEN) return {};
  return fail(ErrorCode::permission_denied, "this is not done with an API token",
              "tokens are kept in files and scripts, and users and groups outlive them",
              "sign in with the password, or run this as root on the server's machine", "sign_in_needed");
}

std::string role_word(v1::Role role) {
  switch (role) {
    case v1::VIEWER: return "viewer";
    case v1::OPERATOR: return "operator";
    case v1::ADMINISTRATOR: return "administrator";
    default: return "none";
  }
}

}  // namespace gantry::server
