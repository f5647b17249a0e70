// Groups of users: a name and the role that its users have by it.
#include <utility>

#include "model/keys.h"
#include "server/directory.h"
#include "server/directory_words.h"

namespace gantry::server {

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

void Directory::create_group(const v1::CreateGroupRequest& request, bool dry_run, const Done<MessagePtr>& done) {
  if (auto fine = model::check_name("name", request.name()); !fine) return done(fail(fine.error()));
  if (auto fine = check_known_role(request.role()); !fine) return done(fail(fine.error()));
  v1::Group group;
  *group.mutable_meta() = new_meta("group", request.name());
  group.set_role(request.role());
  if (!dry_run) return keep_group(std::move(group), done);
  const v1::ById wanted = [&] {
    v1::ById by_id;
    by_id.set_id(request.name());
    return by_id;
  }();
  get_group(wanted, [request, done](const Result<v1::Group>& there) {
    if (there) return done(fail(name_taken("group", request.name())));
    if (there.error().code != ErrorCode::not_found) return done(fail(there.error()));
    done(plan_answer({"make group " + request.name() + " with the role " + role_word(request.role())}));
  });
}

// As keep_user().
void Directory::keep_group(v1::Group group, const Done<MessagePtr>& done) {
  port::Txn txn;
  const bool is_new = group.meta().revision() == 0;
  const std::string key = model::record_key(model::kGroup, group.meta().id());
  txn.compares.push_back({key, group.meta().revision()});
  if (is_new) {
    const std::string name_key = model::name_key(model::kGroup, group.meta().name());
    txn.compares.push_back({name_key, 0});
    txn.writes.push_back({.key = name_key, .value = group.meta().id()});
  }
  group.mutable_meta()->clear_revision();
  txn.writes.push_back({.key = key, .value = group.SerializeAsString()});
  store_.commit(std::move(txn), [group, is_new, done](const Result<bool>& committed) {
    if (!committed) return done(fail(committed.error()));
    const std::string& name = group.meta().name();
    if (!*committed) return done(fail(is_new ? name_taken("group", name) : changed_meanwhile("group", name)));
    done(std::make_shared<v1::Group>(group));
  });
}

void Directory::update_group(const v1::UpdateGroupRequest& request, bool dry_run, const Done<MessagePtr>& done) {
  if (auto fine = check_mask(request.update_mask(), {"role"}); !fine) return done(fail(fine.error()));
  if (auto fine = check_known_role(request.role()); !fine) return done(fail(fine.error()));
  v1::ById wanted;
  wanted.set_id(request.id());
  get_group(wanted, [=, this](const Result<v1::Group>& found) {
    if (!found) return done(fail(found.error()));
    v1::Group group = *found;
    group.set_role(request.role());
    if (!dry_run) return keep_group(std::move(group), done);
    done(plan_answer({"give all users of group " + group.meta().name() + " the role " + role_word(group.role())}));
  });
}

void Directory::delete_group(const v1::ById& request, bool dry_run, const Done<MessagePtr>& done) {
  get_group(request, [=, this](const Result<v1::Group>& found) {
    if (!found) return done(fail(found.error()));
    const std::string name = found->meta().name();
    if (dry_run) return done(plan_answer({"delete group " + name + "; its users stay, without what it gave them"}));
    port::Txn txn;
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
