// Groups of users: a name and the role that its users have by it.
#include <algorithm>
#include <utility>

#include "model/keys.h"
#include "server/directory.h"
#include "server/directory_words.h"

namespace gantry::server {
namespace {

// That the caller's own group does not give them less afterwards.
Result<void> check_takes_nothing(const std::map<std::string, v1::User>& users, const Caller& caller,
                                 const v1::Group& group, v1::Role role) {
  const auto own = users.find(caller.user);
  if (own == users.end() || role >= group.role()) return {};
  const auto& groups = own->second.groups();
  if (std::find(groups.begin(), groups.end(), group.meta().id()) == groups.end()) return {};
  return fail(ErrorCode::conflict, "group \"" + group.meta().name() + "\" was not changed",
              "you are in it yourself, and would have less by it",
              "let another administrator do it, or root on the server's machine", "own_account");
}

}  // namespace

const v1::Group* Directory::find_group(const Everybody& all, const std::string& name_or_id) {
  return find_record(all.groups, name_or_id);
}

void Directory::list_groups(const Done<v1::GroupList>& done) {
  store_.range(model::prefix_of(model::kGroup), [done](const Result<port::Range>& range) {
    if (!range) return done(fail(range.error()));
    v1::GroupList list;
    for (auto& [name, group] : by_name<v1::Group>(*range)) *list.add_items() = group;
    done(list);
  });
}

void Directory::get_group(const v1::ById& request, const Done<v1::Group>& done) {
  store_.range(model::prefix_of(model::kGroup), [done, request](const Result<port::Range>& range) {
    if (!range) return done(fail(range.error()));
    const auto groups = by_name<v1::Group>(*range);
    const v1::Group* group = find_record(groups, request.id());
    if (group == nullptr) return done(fail(no_such_group(request.id())));
    done(*group);
  });
}

void Directory::create_group(const Caller& caller, const v1::CreateGroupRequest& request, bool dry_run,
                             const Done<MessagePtr>& done) {
  if (auto fine = model::check_name("name", request.name()); !fine) return done(fail(fine.error()));
  if (auto fine = check_known_role(request.role()); !fine) return done(fail(fine.error()));
  read<MessagePtr>(done, [=, this](const Everybody& all) {
    if (find_group(all, request.name()) != nullptr) return done(fail(name_taken("group", request.name())));
    v1::Group group;
    *group.mutable_meta() = new_meta("group", request.name());
    group.set_role(request.role());
    if (!dry_run) return keep_group(std::move(group), still_is(all, caller), done);
    done(plan_answer({"make group " + request.name() + " with the role " + role_word(request.role())}));
  });
}

// As keep_user().
void Directory::keep_group(v1::Group group, std::vector<port::Compare> compares, const Done<MessagePtr>& done) {
  port::Txn txn;
  txn.compares = std::move(compares);
  const std::string key = model::record_key(model::kGroup, group.meta().id());
  txn.compares.push_back({key, group.meta().revision()});
  if (group.meta().revision() == 0) {
    const std::string name_key = model::name_key(model::kGroup, group.meta().name());
    txn.compares.push_back({name_key, 0});
    txn.writes.push_back({.key = name_key, .value = group.meta().id()});
  }
  group.mutable_meta()->clear_revision();
  txn.writes.push_back({.key = key, .value = group.SerializeAsString()});
  store_.commit(std::move(txn), [meta = group.meta(), done, this](const Result<bool>& committed) {
    if (!committed) return done(fail(committed.error()));
    if (!*committed) return done(fail(changed_meanwhile("group", meta.name())));
    v1::ById kept;
    kept.set_id(meta.id());
    get_group(kept, [done](const Result<v1::Group>& shown) {
      if (!shown) return done(fail(shown.error()));
      done(std::make_shared<v1::Group>(*shown));
    });
  });
}

void Directory::update_group(const Caller& caller, const v1::UpdateGroupRequest& request, bool dry_run,
                             const Done<MessagePtr>& done) {
  if (auto fine = check_mask(request.update_mask(), {"role"}); !fine) return done(fail(fine.error()));
  if (auto fine = check_known_role(request.role()); !fine) return done(fail(fine.error()));
  read<MessagePtr>(done, [=, this](const Everybody& all) {
    const v1::Group* found = find_group(all, request.id());
    if (found == nullptr) return done(fail(no_such_group(request.id())));
    if (auto may = check_takes_nothing(all.users, caller, *found, request.role()); !may) return done(fail(may.error()));
    v1::Group group = *found;
    group.set_role(request.role());
    if (!dry_run) return keep_group(std::move(group), still_is(all, caller), done);
    done(plan_answer({"give all users of group " + group.meta().name() + " the role " + role_word(group.role())}));
  });
}

void Directory::delete_group(const Caller& caller, const v1::ById& request, bool dry_run,
                             const Done<MessagePtr>& done) {
  read<MessagePtr>(done, [=, this](const Everybody& all) {
    const v1::Group* found = find_group(all, request.id());
    if (found == nullptr) return done(fail(no_such_group(request.id())));
    if (auto may = check_takes_nothing(all.users, caller, *found, v1::NO_ROLE); !may) return done(fail(may.error()));
    const std::string name = found->meta().name();
    if (dry_run) return done(plan_answer({"delete group " + name + "; its users stay, without what it gave them"}));
    port::Txn txn;
    txn.compares = still_is(all, caller);
    const std::string key = model::record_key(model::kGroup, found->meta().id());
    txn.compares.push_back({key, found->meta().revision()});
    for (const std::string& gone : {key, model::name_key(model::kGroup, name)}) {
      txn.writes.push_back({.kind = port::Write::Kind::erase, .key = gone, .value = {}});
    }
    store_.commit(std::move(txn), [name, done](const Result<bool>& committed) {
      if (!committed) return done(fail(committed.error()));
      if (!*committed) return done(fail(changed_meanwhile("group", name)));
      done(std::make_shared<v1::Empty>());
    });
  });
}

}  // namespace gantry::server
