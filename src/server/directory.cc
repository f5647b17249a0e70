#include "server/directory.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "base/id.h"
#include "model/check.h"
#include "model/keys.h"
#include "model/names.h"
#include "server/directory_words.h"
#include "server/secrets.h"

namespace gantry::server {
namespace {

using google::protobuf::util::TimeUtil;

// The path of one's own password, in the place of a name.
constexpr const char* kReservedName = "current";

Result<void> check_user_name(const std::string& name) {
  if (auto fine = model::check_name("name", name); !fine) return fine;
  if (name != kLocalRoot && name != kReservedName) return {};
  return model::bad_field("name", "\"" + name + "\" has a meaning of its own", "choose another");
}

Result<void> check_not_own(const Caller& caller, const v1::User& user) {
  if (caller.user != user.meta().name()) return {};
  return fail(ErrorCode::conflict, "user \"" + caller.user + "\" was not changed", "it is the one that asks for it",
              "let another administrator do it, or root on the server's machine", "own_account");
}

Error no_such_user(const std::string& name_or_id) {
  return Error{ErrorCode::not_found, "there is no user \"" + name_or_id + "\"", "no name and no id of one is like that",
               "see \"gantry user list\""};
}

std::vector<std::string> steps_of(const v1::User& before, const v1::User& after) {
  const std::string of = " of user " + after.meta().name();
  std::vector<std::string> steps;
  if (own_role(before) != own_role(after)) steps.push_back("make the role" + of + " " + role_word(own_role(after)));
  const bool same_groups =
      std::equal(before.groups().begin(), before.groups().end(), after.groups().begin(), after.groups().end());
  if (!same_groups) steps.push_back("change the groups" + of);
  if (before.disabled() != after.disabled()) {
    steps.push_back(after.disabled() ? "disable user " + after.meta().name() + " and end its sessions"
                                     : "let user " + after.meta().name() + " sign in again");
  }
  if (steps.empty()) steps.push_back("nothing: user " + after.meta().name() + " is so already");
  return steps;
}

}  // namespace

Directory::Directory(StoreClient store, std::function<Now()> now, Accounts& accounts)
    : store_(std::move(store)), now_(std::move(now)), accounts_(&accounts), rng_(random_seed()) {}

template <class T>
void Directory::read(const Done<T>& done, std::function<void(const Everybody&)> then) {
  store_.range(model::prefix_of(model::kUser), [this, done, then = std::move(then)](const Result<port::Range>& users) {
    if (!users) return done(fail(users.error()));
    store_.range(model::prefix_of(model::kGroup), [users = *users, done, then](const Result<port::Range>& groups) {
      if (!groups) return done(fail(groups.error()));
      then(Everybody{by_name<v1::User>(users), by_name<v1::Group>(*groups)});
    });
  });
}

// Groups need it too.
template void Directory::read<Directory::MessagePtr>(const Done<MessagePtr>&, std::function<void(const Everybody&)>);

v1::Meta Directory::new_meta(const std::string& kind, const std::string& name) {
  v1::Meta meta;
  meta.set_id(make_id(kind, rng_));
  meta.set_name(name);
  *meta.mutable_created_at() = TimeUtil::MillisecondsToTimestamp(now_().unix_ms);
  meta.set_schema_version(1);
  return meta;
}

std::vector<port::Compare> Directory::still_is(const Everybody& all, const Caller& caller) {
  const auto own = all.users.find(caller.user);
  if (own == all.users.end()) return {};
  return {{model::record_key(model::kUser, caller.user), own->second.meta().revision()}};
}

const v1::User* Directory::find_user(const Everybody& all, const std::string& name_or_id) {
  return find_record(all.users, name_or_id);
}

Result<void> Directory::resolve_groups(const Everybody& all,
                                       const google::protobuf::RepeatedPtrField<std::string>& wanted, v1::User& user) {
  user.clear_groups();
  for (const std::string& name : wanted) {
    const v1::Group* group = find_group(all, name);
    if (group == nullptr) return fail(no_such_group(name));
    const auto& has = user.groups();
    if (std::find(has.begin(), has.end(), group->meta().id()) == has.end()) user.add_groups(group->meta().id());
  }
  return {};
}

v1::User Directory::shown(const Everybody& all, v1::User user) {
  user.clear_password_hash();
  user.set_role(own_role(user));
  auto& groups = *user.mutable_groups();
  groups.erase(std::remove_if(groups.begin(), groups.end(),
                              [&](const std::string& id) { return find_group(all, id) == nullptr; }),
               groups.end());
  return user;
}

void Directory::list_users(const Done<v1::UserList>& done) {
  read<v1::UserList>(done, [done](const Everybody& all) {
    v1::UserList list;
    for (const auto& [name, user] : all.users) *list.add_items() = shown(all, user);
    done(list);
  });
}

void Directory::get_user(const v1::ById& request, const Done<v1::User>& done) {
  read<v1::User>(done, [done, request](const Everybody& all) {
    const v1::User* user = find_user(all, request.id());
    if (user == nullptr) return done(fail(no_such_user(request.id())));
    done(shown(all, *user));
  });
}

void Directory::create_user(const Caller& caller, const v1::CreateUserRequest& request, bool dry_run,
                            const Done<MessagePtr>& done) {
  if (auto fine = check_user_name(request.name()); !fine) return done(fail(fine.error()));
  if (auto fine = check_new_password("password", request.password()); !fine) return done(fail(fine.error()));
  if (auto fine = check_known_role(request.role()); !fine) return done(fail(fine.error()));
  read<MessagePtr>(done, [=, this](const Everybody& all) {
    if (all.users.contains(request.name())) return done(fail(name_taken("user", request.name())));
    v1::User user;
    *user.mutable_meta() = new_meta("user", request.name());
    user.set_role(request.role());
    if (auto known = resolve_groups(all, request.groups(), user); !known) return done(fail(known.error()));
    if (dry_run) return done(plan_answer({"make user " + request.name() + " with the role " + role_word(user.role())}));
    const auto compares = still_is(all, caller);
    accounts_->hash_later(caller, request.password(), [=, this](const Result<std::string>& hash) {
      if (!hash) return done(fail(hash.error()));
      v1::User hashed = user;
      hashed.set_password_hash(*hash);
      // What another of that name left when it was deleted, if that was cut short.
      accounts_->end_all(request.name(), {}, true, [=, this](const Result<MessagePtr>& ended) {
        if (!ended) return done(fail(ended.error()));
        keep_user(hashed, compares, done);
      });
    });
  });
}

void Directory::keep_user(v1::User user, std::vector<port::Compare> compares, const Done<MessagePtr>& done) {
  port::Txn txn;
  txn.compares = std::move(compares);
  const std::string key = model::record_key(model::kUser, user.meta().name());
  txn.compares.push_back({key, user.meta().revision()});
  user.mutable_meta()->clear_revision();
  txn.writes.push_back({.key = key, .value = user.SerializeAsString()});
  store_.commit(std::move(txn), [user, done, this](const Result<bool>& committed) {
    if (!committed) return done(fail(committed.error()));
    if (!*committed) return done(fail(changed_meanwhile("user", user.meta().name())));
    v1::ById kept;
    kept.set_id(user.meta().id());
    get_user(kept, [done](const Result<v1::User>& shown) {
      if (!shown) return done(fail(shown.error()));
      done(std::make_shared<v1::User>(*shown));
    });
  });
}

void Directory::update_user(const Caller& caller, const v1::UpdateUserRequest& request, bool dry_run,
                            const Done<MessagePtr>& done) {
  if (auto fine = check_mask(request.update_mask(), {"role", "groups", "disabled"}); !fine) {
    return done(fail(fine.error()));
  }
  if (auto fine = check_known_role(request.role()); !fine) return done(fail(fine.error()));
  read<MessagePtr>(done, [=, this](const Everybody& all) {
    const v1::User* before = find_user(all, request.id());
    if (before == nullptr) return done(fail(no_such_user(request.id())));
    if (auto may = check_not_own(caller, *before); !may) return done(fail(may.error()));
    v1::User after = *before;
    for (const std::string& path : request.update_mask().paths()) {
      if (path == "role") after.set_role(request.role());
      if (path == "disabled") after.set_disabled(request.disabled());
      if (path != "groups") continue;
      if (auto known = resolve_groups(all, request.groups(), after); !known) return done(fail(known.error()));
    }
    if (dry_run) return done(plan_answer(steps_of(*before, after)));
    keep_user(after, still_is(all, caller), [=, this](const Result<MessagePtr>& kept) {
      if (!kept || !after.disabled()) return done(kept);
      // They would serve again when the user is enabled again.
      accounts_->end_all(after.meta().name(), after.meta().id(), false, [done, kept](const Result<MessagePtr>& ended) {
        done(ended ? kept : Result<MessagePtr>(fail(ended.error())));
      });
    });
  });
}

void Directory::delete_user(const Caller& caller, const v1::ById& request, bool dry_run, const Done<MessagePtr>& done) {
  read<MessagePtr>(done, [=, this](const Everybody& all) {
    const v1::User* user = find_user(all, request.id());
    if (user == nullptr) return done(fail(no_such_user(request.id())));
    if (auto may = check_not_own(caller, *user); !may) return done(fail(may.error()));
    const std::string name = user->meta().name();
    if (dry_run) return done(plan_answer({"delete user " + name, "end its sessions and revoke its API tokens"}));
    port::Txn txn;
    txn.compares = still_is(all, caller);
    const std::string key = model::record_key(model::kUser, name);
    txn.compares.push_back({key, user->meta().revision()});
    txn.writes.push_back({.kind = port::Write::Kind::erase, .key = key, .value = {}});
    store_.commit(std::move(txn), [=, this, id = user->meta().id()](const Result<bool>& committed) {
      if (!committed) return done(fail(committed.error()));
      if (!*committed) return done(fail(changed_meanwhile("user", name)));
      // None of them serves any more; this is so that nothing is left lying about.
      accounts_->end_all(name, id, true, done);
    });
  });
}

}  // namespace gantry::server
