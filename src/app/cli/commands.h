// The commands, by what they are about. Each function adds its commands to `app`; running one leaves what to do in
// `todo`, which answers the process' exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "app/cli/session.h"

namespace gantry::app {

struct Commands {
  CLI::App& app;
  Session& session;
  std::function<int()>& todo;

  // A command with examples in its help.
  CLI::App* add(CLI::App& parent, const std::string& name, const std::string& what, const std::string& examples) const;
  // One that only holds others.
  CLI::App* group(const std::string& name, const std::string& what, const std::string& examples) const;
  void run(CLI::App* command, std::function<int()> work) const;
};

// For CLI11's check(): a whole number in these bounds. 0 is often "as it was" to the API, and not what was asked for.
CLI::Validator within(std::uint32_t min, std::uint32_t max);
CLI::Validator label();
CLI::Validator label_filter();

void add_launch_command(const Commands& commands);
void add_vm_commands(const Commands& commands);
void add_set_command(const Commands& commands);
void add_explain_command(const Commands& commands);
void add_top_command(const Commands& commands);
void add_metrics_command(const Commands& commands);
void add_move_command(const Commands& commands);
void add_guest_access_commands(const Commands& commands);  // console, ssh
void add_image_commands(const Commands& commands);
void add_volume_commands(const Commands& commands);
void add_pool_commands(const Commands& commands);
void add_network_commands(const Commands& commands);
void add_security_group_commands(const Commands& commands);
void add_rule_commands(const Commands& commands);
void add_task_commands(const Commands& commands);  // task, events
void add_host_commands(const Commands& commands);
void add_access_commands(const Commands& commands);  // login, logout, password, token
void add_user_commands(const Commands& commands);    // user, group
void add_audit_commands(const Commands& commands);
void add_admin_commands(const Commands& commands);
void add_completion_command(const Commands& commands);

// Prints what may stand in place of the last of `words`, one a line; never an error. 0.
int complete(const Commands& commands, std::vector<std::string> words);

// All pages of a list.
template <class List>
Result<List> fetch_all(ApiClient& client, const std::string& rpc, const google::protobuf::Message& request) {
  auto page = client.call<List>(rpc, request);
  if (!page) return page;
  List all = *page;
  std::unique_ptr<google::protobuf::Message> next(request.New());
  next->CopyFrom(request);
  const auto* token = next->GetDescriptor()->FindFieldByName("page_token");
  while (!page->next_page_token().empty()) {
    next->GetReflection()->SetString(next.get(), token, page->next_page_token());
    page = client.call<List>(rpc, *next);
    if (!page) return page;
    all.mutable_items()->MergeFrom(page->items());
  }
  all.clear_next_page_token();
  return all;
}

// The `list`, `show` pair of one kind, as used by all of them.
template <class Record>
int show_record(Session& session, const std::string& rpc, const std::string& id) {
  auto client = session.api();
  if (!client) return report(client.error());
  v1::ById request;
  request.set_id(id);
  const auto record = (*client)->call<Record>(rpc, request);
  if (!record) return report(record.error());
  print_record(*record, session.format());
  return 0;
}

template <class List>
int list_records(Session& session, const std::string& rpc, const google::protobuf::Message& request,
                 const std::function<Table(const List&)>& table) {
  auto client = session.api();
  if (!client) return report(client.error());
  const auto all = fetch_all<List>(**client, rpc, request);
  if (!all) return report(all.error());
  if (session.format() == Format::table) {
    std::fputs(table(*all).text().c_str(), stdout);
  } else {
    print_record(*all, session.format());
  }
  return 0;
}

}  // namespace gantry::app
