// Who did what.
#include <google/protobuf/util/time_util.h>

#include <iostream>

#include "app/cli/commands.h"

namespace gantry::app {
namespace {

std::string through(const v1::AuditEntry& entry) {
  if (!entry.credential_name().empty()) return "token " + entry.credential_name();
  if (entry.kind() == v1::CurrentSession::LOCAL_TOKEN) return "local key";
  return entry.credential_id().empty() ? "-" : "session";
}

std::string outcome(const v1::AuditEntry& entry) {
  std::string text = std::to_string(entry.status());
  if (!entry.code().empty()) text += " " + entry.code();
  if (!entry.task_id().empty()) text += " " + entry.task_id();
  if (entry.left_out() != 0) text += " (" + std::to_string(entry.left_out()) + " more before)";
  return text;
}

Table audit_table(const v1::AuditList& list) {
  Table table({"TIME", "USER", "THROUGH", "FROM", "ACTION", "ON", "OUTCOME"});
  for (const auto& entry : list.items()) {
    table.add({google::protobuf::util::TimeUtil::ToString(entry.at()), entry.user().empty() ? "-" : entry.user(),
               through(entry), entry.address(), entry.action(), entry.target().empty() ? "-" : entry.target(),
               outcome(entry)});
  }
  return table;
}

void add_list(const Commands& commands, CLI::App& group) {
  auto* list = commands.add(group, "list", "Who did or tried what, newest first",
                            "gantry audit list\ngantry audit list --user vera --refused\n"
                            "gantry audit list --action DeleteVm -n 1000 -o json");
  auto request = std::make_shared<v1::ListAuditRequest>();
  auto count = std::make_shared<std::uint32_t>(100);
  list->add_option("-u,--user", *request->mutable_user(), "Only theirs")->type_name("USER");
  list->add_option("--action", *request->mutable_action(), "Only this operation, as the API names it: CreateVm");
  list->add_option("--on", *request->mutable_target(), "Only about that, as it was given then");
  list->add_flag_callback(
      "--refused", [request] { request->set_refused(true); }, "Only what was refused or failed at once");
  list->add_option("-n,--count", *count, "At most so many")->capture_default_str()->check(within(1, 1'000'000));
  commands.run(list, [&session = commands.session, request, count] {
    auto client = session.api();
    if (!client) return report(client.error());
    v1::AuditList all;
    do {
      const auto left = static_cast<std::uint32_t>(static_cast<int>(*count) - all.items_size());
      request->set_page_size(std::min<std::uint32_t>(left, 1'000));
      const auto page = (*client)->call<v1::AuditList>("ListAudit", *request);
      if (!page) return report(page.error());
      all.mutable_items()->MergeFrom(page->items());
      request->set_page_token(page->next_page_token());
    } while (!request->page_token().empty() && all.items_size() < static_cast<int>(*count));
    if (session.format() == Format::table) {
      std::cout << audit_table(all).text();
    } else {
      print_record(all, session.format());
    }
    return 0;
  });
}

void add_check(const Commands& commands, CLI::App& group) {
  auto* check = commands.add(group, "check", "Say whether the audit is as it was written", "gantry audit check");
  commands.run(check, [&session = commands.session] {
    auto client = session.api();
    if (!client) return report(client.error());
    const auto found = (*client)->call<v1::AuditCheck>("CheckAudit", v1::Empty());
    if (!found) return report(found.error());
    if (session.format() != Format::table) {
      print_record(*found, session.format());
      return found->whole() ? 0 : 1;
    }
    std::cout << found->entries() << " entries are whole, " << found->first_number() << " to " << found->last_number()
              << "\nthe last has the hash " << found->last_hash() << "\n";
    if (found->whole()) return 0;
    return report(Error{ErrorCode::corrupt, "the audit is not as it was written", found->cause(),
                        "compare it with the journal: journalctl -u gantryd -g audit"});
  });
}

}  // namespace

void add_audit_commands(const Commands& commands) {
  auto* group = commands.group("audit", "Who did what, and what was refused", "gantry audit list\ngantry audit check");
  add_list(commands, *group);
  add_check(commands, *group);
}

}  // namespace gantry::app
