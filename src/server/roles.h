// What users may: the role of each, and which role a call needs. Both are looked at anew with every call, so that what
// was taken from a user is gone with the next one.
//
// Threads: the server's loop.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/time.h"
#include "gantry/v1/access.pb.h"
#include "gantry/v1/routes.pb.h"
#include "server/store_client.h"

namespace gantry::server {

// Who makes a call.
struct Caller {
  std::string user;
  // Of the user's record; empty for local-root, who has none.
  std::string user_id = {};
  // SHA-256 of the token.
  std::string token_hash = {};
  // It holds the local token itself, which only root on this machine can read; not a token made with it.
  bool is_local = false;
  v1::CurrentSession::Kind kind = v1::CurrentSession::SESSION;
  // Of the session or API token, and an API token's name.
  std::string credential_id = {};
  std::string credential_name = {};
  // When it ends unless it is used again, and however it is used; 0: it does not.
  Milliseconds expires_unix_ms = 0;
  Milliseconds ends_unix_ms = 0;
  // What it may now.
  v1::Role role = v1::NO_ROLE;
  // Of an API token that may less than its user; NO_ROLE: as much.
  v1::Role role_max = v1::NO_ROLE;
};

// What a user's record and those of its groups say.
struct Standing {
  std::string user_id;
  Milliseconds made_unix_ms = 0;
  v1::Role role = v1::NO_ROLE;
};

// Nothing when there is no such user, or it is disabled.
void find_standing(const StoreClient& store, const std::string& user,
                   std::function<void(Result<std::optional<Standing>>)> done);

// The role that a user's own record gives.
v1::Role own_role(const v1::User& user);

// permission_denied, reason role_needed, with the role that would do, or sign_in_needed. A route that states nobody is
// for nobody.
Result<void> check_permitted(const v1::Route& route, const Caller& caller);
// The same of one role.
Result<void> check_role(v1::Role needed, const Caller& caller);

// "administrator".
std::string role_word(v1::Role role);

}  // namespace gantry::server
