// Sessions, API tokens and passwords. Kept in the store by what they are looked up with: "/user/NAME", "/session/HASH"
// and
// "/apitoken/HASH" of the bearer token's SHA-256; a token's name is kept unique per user by "/name/apitoken/USER/NAME".
// The tokens themselves are kept nowhere.
//
// A session ends 12 hours after its last use (written at most once an hour) and 7 days after it was opened, an API
// token when it says so.
//
// Threads: the server's loop; answers come on it later. Password hashing is done one at a time on a worker, with at
// most eight waiting.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "gantry/v1/access.pb.h"
#include "gantry/v1/routes.pb.h"
#include "runtime/worker_pool.h"
#include "server/credentials.h"
#include "server/login_throttle.h"
#include "server/roles.h"
#include "server/store_client.h"

namespace gantry::server {

// invalid_argument, reason weak_password; `field` as in the request.
Result<void> check_new_password(const std::string& field, const std::string& password);

inline constexpr std::size_t kPasswordBytesMin = 10;
inline constexpr std::size_t kPasswordBytesMax = 1024;

// The user that the local token stands for; it has no password and no record.
inline constexpr const char* kLocalRoot = "local-root";

class Accounts {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  // What the route answers; of a dry run, v1::Accepted with the plan.
  using MessagePtr = std::shared_ptr<const google::protobuf::Message>;

  // `local_token`: see ApiServerOptions.
  Accounts(StoreClient store, PosterPtr poster, std::function<Now()> now, const std::string& local_token);

  // `renew`: counts as use of a session.
  void authenticate(const Credentials& credentials, bool renew, const Done<Caller>& done);
  void login(const v1::LoginRequest& request, const std::string& address, const Done<v1::LoginAnswer>& done);
  // What the caller may know of itself.
  static v1::CurrentSession describe(const Caller& caller);
  // With `dry_run` these refuse what they would refuse, and else change nothing.
  void logout(const Caller& caller, bool dry_run, const Done<MessagePtr>& done);
  // Ends all other sessions of the user; API tokens stay. A local caller, and an administrator in a session of theirs,
  // may set another's, knowing no password.
  void change_password(const Caller& caller, const v1::ChangePasswordRequest& request, bool dry_run,
                       const Done<MessagePtr>& done);
  // Hashed behind those that wait, if there is room.
  void hash_later(const Caller& caller, const std::string& password, Done<std::string> done);
  // Ends all sessions of that user, and with `tokens_too` revokes its API tokens; then answers v1::Empty. `user_id`
  // empty: of all that ever had the name.
  void end_all(const std::string& user, const std::string& user_id, bool tokens_too, const Done<MessagePtr>& done);
  void list_tokens(const Caller& caller, Done<v1::ApiTokenList> done);
  void create_token(const Caller& caller, const v1::CreateTokenRequest& request, bool dry_run,
                    const Done<MessagePtr>& done);
  void delete_token(const Caller& caller, const v1::ById& request, bool dry_run, const Done<MessagePtr>& done);

 private:
  // One change of a password that is allowed, as far as that can be said without looking at the user.
  struct PasswordChange {
    Caller caller;
    std::string user;
    v1::ChangePasswordRequest request;
    bool dry_run = false;
    // Somebody else's, whose password the caller does not know.
    [[nodiscard]] bool of_another() const { return caller.is_local || user != caller.user; }
  };

  // Counts an attempt with a password; too_many_attempts when the user has to wait before the next.
  Result<void> begin_attempt(const std::string& user, const std::string& network, const char* summary,
                             const char* cause);
  // One after the other. Those of `caller` when it is root on this host come whatever the others' number.
  void hash_on_worker(const Caller& caller, std::function<Result<std::string>()> work, Done<std::string> done);
  void authenticate_session(const port::Entry& entry, bool by_cookie, bool renew, const Done<Caller>& done);
  void authenticate_api_token(const std::string& hash, const Done<Caller>& done);
  // The caller as its user's record has it now: unauthenticated when that is gone, disabled, or another of that name.
  void find_caller(Caller caller, const std::string& user_id, Milliseconds made_unix_ms, const Done<Caller>& done);
  // Answers when it expires then.
  Milliseconds renew_session(const port::Entry& entry, v1::Session session);
  void open_session(const v1::LoginRequest& request, const port::Entry& account, const Done<v1::LoginAnswer>& done);
  void sweep_sessions();
  void check_password(const PasswordChange& change, const port::Entry& entry, const Done<MessagePtr>& done);
  void replace_password(const PasswordChange& change, const port::Entry& entry, const std::string& hash,
                        const Done<MessagePtr>& done);
  void store_token(const Caller& caller, const v1::CreateTokenRequest& request, const Done<MessagePtr>& done);
  void end_late_sessions(const PasswordChange& change, const Done<MessagePtr>& done);
  // Commits, and answers v1::Empty; `conflict` when what the transaction compares has changed.
  void commit_and_answer(port::Txn txn, Error conflict, const Done<MessagePtr>& done);
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

// The answer of a dry run.
Accounts::MessagePtr plan_answer(const std::vector<std::string>& steps);

}  // namespace gantry::server
