#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "app/cli/commands.h"

namespace gantry::app {
namespace {

Table task_table(const v1::TaskList& list) {
  Table table({"ID", "ACTION", "TARGET", "STATE", "BY", "BEGUN", "PROBLEM"});
  for (const auto& task : list.items()) {
    table.add({task.meta().id(), task.action(), task.target_name(), v1::Task::State_Name(task.state()), task.actor(),
               google::protobuf::util::TimeUtil::ToString(task.meta().created_at()), task.problem().summary()});
  }
  return table;
}

void add_task_list(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "list", "List tasks, newest first", "gantry task list\ngantry task list --open");
  auto open = std::make_shared<bool>(false);
  command->add_flag("--open", *open, "Only those not ended");
  commands.run(command, [&session = commands.session, open] {
    v1::ListTasksRequest request;
    request.set_open(*open);
    return list_records<v1::TaskList>(session, "ListTasks", request, task_table);
  });
}

void add_task_show_wait_cancel(const Commands& commands, CLI::App& group) {
  auto id = std::make_shared<std::string>();
  auto* show =
      commands.add(group, "show", "Show a task: what, why, progress, result", "gantry task show task-4f7k2m9qzt3x");
  show->add_option("id", *id, "Its id")->required()->type_name("TASK");
  commands.run(show, [&session = commands.session, id] { return show_record<v1::Task>(session, "GetTask", *id); });

  auto* wait =
      commands.add(group, "wait", "Wait until a task ends; fails if it failed", "gantry task wait task-4f7k2m9qzt3x");
  wait->add_option("id", *id, "Its id")->required()->type_name("TASK");
  commands.run(wait, [&session = commands.session, id] {
    const auto task = session.wait_for_task(*id);
    return task ? 0 : report(task.error());
  });

  auto* cancel =
      commands.add(group, "cancel", "Ask a task to stop and undo what it did", "gantry task cancel task-4f7k2m9qzt3x");
  cancel->add_option("id", *id, "Its id")->required()->type_name("TASK");
  commands.run(cancel, [&session = commands.session, id] {
    v1::ById request;
    request.set_id(*id);
    return session.run_direct<v1::Task>("CancelTask", request, [](const v1::Task&) { return 0; });
  });
}

std::string describe(const v1::ChangeEvent& event) {
  std::string text = event.kind() + " ";
  if (event.deleted()) return text + event.id() + " deleted";
  switch (event.record_case()) {
    case v1::ChangeEvent::kVm:
      return text + event.vm().meta().name() + " " + v1::VmStatus::State_Name(event.vm().status().state());
    case v1::ChangeEvent::kVolume:
      return text + event.volume().meta().name() + " " + v1::VolumeStatus::State_Name(event.volume().status().state());
    case v1::ChangeEvent::kImage:
      return text + event.image().meta().name() + " " + v1::ImageStatus::State_Name(event.image().status().state());
    case v1::ChangeEvent::kNetwork:
      return text + event.network().meta().name() + " " +
             v1::NetworkStatus::State_Name(event.network().status().state());
    case v1::ChangeEvent::kSecurityGroup: return text + event.security_group().meta().name();
    case v1::ChangeEvent::kPool:
      return text + event.pool().meta().name() + " " + v1::PoolStatus::State_Name(event.pool().status().state());
    case v1::ChangeEvent::kHost:
      return text + event.host().meta().name() + " " + v1::HostStatus::State_Name(event.host().status().state());
    case v1::ChangeEvent::kTask:
      return text + event.task().action() + " " + event.task().target_name() + " " +
             v1::Task::State_Name(event.task().state()) + " " + printable(event.task().problem().summary());
    default: return text + event.id();
  }
}

// In JSON a line for changes that are missing has "resync": true.
std::string event_line(const v1::ChangeEvent& event, bool resync, Format format) {
  if (format == Format::table) {
    return std::to_string(event.revision()) +
           (resync ? " resync: changes before this are not kept, list again" : " " + describe(event));
  }
  std::string line;
  (void)google::protobuf::util::MessageToJsonString(event, &line);
  if (!resync) return line;
  auto json = nlohmann::ordered_json::parse(line, nullptr, false);
  json["resync"] = true;
  return json.dump();
}

}  // namespace

void add_task_commands(const Commands& commands) {
  auto* group = commands.group("task", "Changes that were asked for: what, who, progress, result",
                               "gantry task list --open\ngantry task show task-4f7k2m9qzt3x");
  add_task_list(commands, *group);
  add_task_show_wait_cancel(commands, *group);

  struct Options {
    std::uint64_t from_revision = 0;
    std::string kinds;
    std::uint64_t count = 0;
  };
  auto* events = commands.add(commands.app, "events", "Follow changes as they happen",
                              "gantry events\ngantry events --kinds vm,task\ngantry events -o json --from 1200");
  auto options = std::make_shared<Options>();
  events->add_option("--from", options->from_revision, "Begin after this revision; from now on if not given");
  events->add_option("--kinds", options->kinds, "Only these, with a comma between them")
      ->type_name("{vm,volume,pool,image,network,security_group,host,task}");
  events->add_option("--count", options->count, "End after so many")->type_name("N")->check(within(1, 1'000'000'000));
  commands.run(events, [&session = commands.session, options] {
    auto client = session.api();
    if (!client) return report(client.error());
    v1::EventsRequest request;
    request.set_from_revision(options->from_revision);
    request.set_kinds(options->kinds);
    std::uint64_t seen = 0;
    const auto followed = (*client)->follow_events(request, [&](const v1::ChangeEvent& event, bool resync) {
      std::cout << event_line(event, resync, session.format()) << std::endl;
      return resync || ++seen != options->count;
    });
    return followed ? 0 : report(followed.error());
  });
}

}  // namespace gantry::app
