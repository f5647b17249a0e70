// The users and groups there are, for administrators. A user stands in the store at "/user/NAME", a group at
// "/group/ID" with "/name/group/NAME". What a user may is read from there with every call (roles.h), so a change serves
// at once.
//
// Nobody takes anything from their own account here, by their groups neither, so that nobody shuts themselves out by
// mistake; and a change is made only if the caller's own record is still as it was, so that two administrators do not
// do it to each other at once.
//
// Threads: the server's loop; answers come on it later.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "server/accounts.h"

namespace gantry::server {

class Directory {
 public:
  template <class T>
  using Done = Accounts::Done<T>;
  using MessagePtr = Accounts::MessagePtr;

  // `accounts` must outlive it.
  Directory(StoreClient store, std::function<Now()> now, Accounts& accounts);

  void list_users(const Done<v1::UserList>& done);
  void get_user(const v1::ById& request, const Done<v1::User>& done);
  // With `dry_run` these refuse what they would refuse, and else change nothing.
  void create_user(const Caller& caller, const v1::CreateUserRequest& request, bool dry_run,
                   const Done<MessagePtr>& done);
  void update_user(const Caller& caller, const v1::UpdateUserRequest& request, bool dry_run,
                   const Done<MessagePtr>& done);
  void delete_user(const Caller& caller, const v1::ById& request, bool dry_run, const Done<MessagePtr>& done);

  void list_groups(const Done<v1::GroupList>& done);
  void get_group(const v1::ById& request, const Done<v1::Group>& done);
  void create_group(const Caller& caller, const v1::CreateGroupRequest& request, bool dry_run,
                    const Done<MessagePtr>& done);
  void update_group(const Caller& caller, const v1::UpdateGroupRequest& request, bool dry_run,
                    const Done<MessagePtr>& done);
  void delete_group(const Caller& caller, const v1::ById& request, bool dry_run, const Done<MessagePtr>& done);

 private:
  // All of them, as they stand in the store, by name; meta.revision is filled in.
  struct Everybody {
    std::map<std::string, v1::User> users;
    std::map<std::string, v1::Group> groups;
  };
  // Refusals are given to `done`.
  template <class T>
  void read(const Done<T>& done, std::function<void(const Everybody&)> then);
  // That the caller's own record is still the one in `all`; nothing for who has none.
  static std::vector<port::Compare> still_is(const Everybody& all, const Caller& caller);
  // Writes the user in place of the one at that revision (0: of none), if `compares` hold too, and answers it.
  void keep_user(v1::User user, std::vector<port::Compare> compares, const Done<MessagePtr>& done);
  void keep_group(v1::Group group, std::vector<port::Compare> compares, const Done<MessagePtr>& done);
  [[nodiscard]] v1::Meta new_meta(const std::string& kind, const std::string& name);

  static const v1::User* find_user(const Everybody& all, const std::string& name_or_id);
  static const v1::Group* find_group(const Everybody& all, const std::string& name_or_id);
  // Their ids; not_found names the one that is not there.
  static Result<void> resolve_groups(const Everybody& all,
                                     const google::protobuf::RepeatedPtrField<std::string>& wanted, v1::User& user);
  // As users see it: nothing secret, and no groups that are gone.
  static v1::User shown(const Everybody& all, v1::User user);

  StoreClient store_;
  std::function<Now()> now_;
  Accounts* accounts_;
  Rng rng_;
};

}  // namespace gantry::server
