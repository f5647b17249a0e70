// Users, sessions and API tokens. Kept in the store by what they are looked up with: "/user/NAME", "/session/HASH" and
// "/apitoken/HASH" of the bearer token's SHA-256; a token's name is kept unique per user by "/name/apitoken/USER/NAME".
// The tokens themselves are kept nowhere.
//
// A session ends 12 hours after its last use (written at most once an hour), an API token when it says so.
//
// Threads: the server's loop; answers come on it later. Password hashing is done one at a time on a worker, with at
// most eight waiting.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/rng.h"
#include "base/time.h"
#include "gantry/v1/access.pb.h"
#include "gantry/v1/routes.pb.h"
#include "runtime/worker_pool.h"
#include "server/login_throttle.h"
#include "server/store_client.h"

namespace gantry::server {

// Who makes a call.
struct Caller {
  std::string user;
  // SHA-256 of the bearer token.
  std::string token_hash;
};

// The user that the local token stands for; it has no password and no record.
inline constexpr const char* kLocalRoot = "local-root";

class Accounts {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  // `local_token`: see ApiServerOptions.
  Accounts(StoreClient store, PosterPtr poster, std::function<Now()> now, const std::string& local_token);

  // `renew`: counts as use of a session.
  void authenticate(const std::string& token, bool renew, Done<Caller> done);
  void login(const v1::LoginRequest& request, const std::string& address, Done<v1::LoginAnswer> done);
  void logout(const Caller& caller, Done<v1::Empty> done);
  // Ends all other sessions of the user; API tokens stay.
  void change_password(const Caller& caller, const v1::ChangePasswordRequest& request, Done<v1::Empty> done);
  void list_tokens(const Caller& caller, Done<v1::ApiTokenList> done);
  void create_token(const Caller& caller, const v1::CreateTokenRequest& request, Done<v1::CreateTokenAnswer> done);
  void delete_token(const Caller& caller, const v1::ById& request, Done<v1::Empty> done);

 private:
  void hash_on_worker(std::function<Result<std::string>()> work, Done<std::string> done);
  void renew_session(const port::Entry& entry, v1::Session session);
  void open_session(const std::string& user, const Done<v1::LoginAnswer>& done);
  void sweep_sessions();
  void replace_password(const Caller& caller, const port::Entry& entry, const std::string& hash,
                        const Done<v1::Empty>& done);
  void store_token(const Caller& caller, const v1::CreateTokenRequest& request,
                   const Done<v1::CreateTokenAnswer>& done);
  Error unknown_token() const;

  StoreClient store_;
  PosterPtr poster_;
  std::function<Now()> now_;
  std::string local_hash_;
  Rng rng_;
  LoginThrottle throttle_;
  // Verified against when there is no such user, so that names cannot be told by the time it takes.
  std::string nobody_hash_;
  std::size_t hashing_ = 0;
  // Last: its threads end first.
  runtime::WorkerPool worker_{1};
};

// The first start: makes user "admin" when there is no user at all. Answers its password, or nothing when there was
// one. Blocks until the store has answered; not to be called on a thread of the store's.
Result<std::string> ensure_first_user(port::Store& store, Now now);

}  // namespace gantry::server
