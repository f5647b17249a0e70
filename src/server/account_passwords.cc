// Changing passwords: one's own by the current one, or another's by an administrator who signed in, or by root on this
// machine. And the end of what a user is signed in by.
#include <algorithm>

#include "model/keys.h"
#include "server/accounts.h"
#include "server/secrets.h"

namespace gantry::server {
namespace {

Error changed_meanwhile() {
  return Error{ErrorCode::conflict, "the password was not changed", "it was changed by another call just now",
               "log in with the password that is right now"};
}

Result<void> check_whose(const Caller& caller, const std::string& user) {
  if (user == kLocalRoot) {
    return fail(ErrorCode::conflict, "there is no password to change", "local-root signs in by its token file only",
                "say whose password it is: gantry password --user admin");
  }
  if (caller.is_local || user == caller.user) return {};
  // Not by a token: those are kept in files and scripts.
  if (caller.kind == v1::CurrentSession::SESSION && caller.role == v1::ADMINISTRATOR) return {};
  return fail(
      ErrorCode::permission_denied, "the password of user \"" + user + "\" was not changed",
      "only an administrator who signed in, or root on the server's own machine, may set another user's password",
      "run this there, as root: gantry password --user " + user, "not_your_password");
}

// A transaction holds so many; etcd takes no more than 128.
constexpr std::size_t kSessionsAtOnce = 100;

// Of the user with that id alone, or of all that had the name. What was made before ids were kept is of any.
template <class Credential>
bool is_of(const Credential& record, const std::string& user, const std::string& user_id) {
  return record.user() == user && (user_id.empty() || record.user_id().empty() || record.user_id() == user_id);
}

std::vector<port::Write> ends_of_sessions(const port::Range& sessions, const std::string& user,
                                          const std::string& user_id, const std::string& but_token_hash) {
  std::vector<port::Write> writes;
  for (const port::Entry& entry : sessions.entries) {
    v1::Session session;
    if (!session.ParseFromString(entry.value) || !is_of(session, user, user_id)) continue;
    if (session.token_hash() == but_token_hash) continue;
    writes.push_back({.kind = port::Write::Kind::erase, .key = entry.key, .value = {}});
  }
  return writes;
}

// The name first: while that is there, so is the token by which it is found again.
void add_ends_of_tokens(const port::Range& tokens, const std::string& user, const std::string& user_id,
                        std::vector<port::Write>& writes) {
  for (const port::Entry& entry : tokens.entries) {
    v1::ApiToken record;
    if (!record.ParseFromString(entry.value) || !is_of(record, user, user_id)) continue;
    const std::string name = model::name_key(model::kApiToken, user + "/" + record.meta().name());
    writes.push_back({.kind = port::Write::Kind::erase, .key = name, .value = {}});
    writes.push_back({.kind = port::Write::Kind::erase, .key = entry.key, .value = {}});
  }
}

// What stands for a network where passwords are changed: tries there make nobody wait elsewhere.
std::string place_of_changes(const std::string& user) { return "change " + user; }

}  // namespace

Result<void> check_new_password(const std::string& field, const std::string& password) {
  if (password.size() >= kPasswordBytesMin && password.size() <= kPasswordBytesMax) return {};
  return fail(ErrorCode::invalid_argument, "the new password cannot be used", field + " must have 10 to 1024 bytes",
              "choose another", "weak_password");
}

void Accounts::change_password(const Caller& caller, const v1::ChangePasswordRequest& request, bool dry_run,
                               const Done<MessagePtr>& done) {
  const PasswordChange change{caller, request.user().empty() ? caller.user : request.user(), request, dry_run};
  if (auto fine = check_new_password("newPassword", request.new_password()); !fine) return done(fail(fine.error()));
  if (auto allowed = check_whose(caller, change.user); !allowed) return done(fail(allowed.error()));
  if (!change.of_another()) {
    // Whoever holds a session cannot try passwords without end either.
    if (auto begun = begin_attempt(change.user, place_of_changes(change.user), "too many wrong passwords",
                                   "this user has to wait");
        !begun) {
      return done(fail(std::move(begun.error())));
    }
  }
  store_.get(model::record_key(model::kUser, change.user), [=, this](const Result<std::optional<port::Entry>>& found) {
    if (!found) return done(fail(found.error()));
    if (*found) return check_password(change, **found, done);
    if (!change.of_another()) return done(fail(unknown_token()));
    done(fail(ErrorCode::not_found, "there is no user \"" + change.user + "\"", "nobody has that name",
              "see \"gantry user list\""));
  });
}

void Accounts::check_password(const PasswordChange& change, const port::Entry& entry, const Done<MessagePtr>& done) {
  v1::User user;
  if (!user.ParseFromString(entry.value)) return done(fail(unknown_token()));
  auto work = [hash = user.password_hash(), change]() -> Result<std::string> {
    if (!change.of_another() && !verify_password(hash, change.request.current_password())) {
      return fail(ErrorCode::permission_denied, "the password was not changed", "currentPassword is wrong",
                  "give the password you logged in with", "wrong_password");
    }
    return change.dry_run ? Result<std::string>("") : hash_password(change.request.new_password());
  };
  hash_on_worker(change.caller, std::move(work), [=, this](const Result<std::string>& hash) {
    if (!hash) return done(fail(hash.error()));
    if (!change.of_another()) throttle_.succeeded(change.user, place_of_changes(change.user));
    replace_password(change, entry, *hash, done);
  });
}

void Accounts::replace_password(const PasswordChange& change, const port::Entry& entry, const std::string& hash,
                                const Done<MessagePtr>& done) {
  store_.range(model::prefix_of(model::kSession), [=, this](const Result<port::Range>& sessions) {
    if (!sessions) return done(fail(sessions.error()));
    v1::User user;
    user.ParseFromString(entry.value);
    user.set_password_hash(hash);
    port::Txn txn;
    txn.compares.push_back({entry.key, entry.modified});
    txn.writes = ends_of_sessions(*sessions, change.user, {}, change.caller.token_hash);
    if (change.dry_run) {
      return done(plan_answer({"change the password of user " + change.user,
                               "end " + std::to_string(txn.writes.size()) + " other sessions of user " + change.user +
                                   "; API tokens stay"}));
    }
    txn.writes.resize(std::min(txn.writes.size(), kSessionsAtOnce));
    txn.writes.push_back({.key = entry.key, .value = user.SerializeAsString()});
    store_.commit(std::move(txn), [=, this](const Result<bool>& committed) {
      if (!committed) return done(fail(committed.error()));
      if (!*committed) return done(fail(changed_meanwhile()));
      end_late_sessions(change, done);
    });
  });
}

// The rest of them; and a login by the old password may have landed after the sessions were listed. From here on none
// can.
void Accounts::end_late_sessions(const PasswordChange& change, const Done<MessagePtr>& done) {
  store_.range(model::prefix_of(model::kSession), [=, this](const Result<port::Range>& sessions) {
    if (!sessions) return done(fail(sessions.error()));
    port::Txn txn;
    txn.writes = ends_of_sessions(*sessions, change.user, {}, change.caller.token_hash);
    if (txn.writes.size() <= kSessionsAtOnce) {
      return txn.writes.empty() ? done(std::make_shared<v1::Empty>()) : commit_and_answer(std::move(txn), {}, done);
    }
    txn.writes.resize(kSessionsAtOnce);
    store_.commit(std::move(txn), [=, this](const Result<bool>& committed) {
      if (!committed) return done(fail(committed.error()));
      end_late_sessions(change, done);
    });
  });
}

// A step at a time, until none is left.
void Accounts::end_all(const std::string& user, const std::string& user_id, bool tokens_too,
                       const Done<MessagePtr>& done) {
  store_.range(model::prefix_of(model::kSession), [=, this](const Result<port::Range>& sessions) {
    if (!sessions) return done(fail(sessions.error()));
    store_.range(model::prefix_of(model::kApiToken), [=, this](const Result<port::Range>& tokens) {
      if (!tokens) return done(fail(tokens.error()));
      port::Txn txn;
      txn.writes = ends_of_sessions(*sessions, user, user_id, {});
      if (tokens_too) add_ends_of_tokens(*tokens, user, user_id, txn.writes);
      const bool all = txn.writes.size() <= kSessionsAtOnce;
      if (txn.writes.empty()) return done(std::make_shared<v1::Empty>());
      txn.writes.resize(std::min(txn.writes.size(), kSessionsAtOnce));
      store_.commit(std::move(txn), [=, this](const Result<bool>& committed) {
        if (!committed) return done(fail(committed.error()));
        if (all) return done(std::make_shared<v1::Empty>());
        end_all(user, user_id, tokens_too, done);
      });
    });
  });
}

}  // namespace gantry::server
