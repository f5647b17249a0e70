#include "app/cli/session.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <thread>

namespace gantry::app {
namespace {

// Half a minute's worth.
constexpr int kFailuresMax = 60;

std::string title_of(const v1::Task& task) { return task.action() + " " + task.target_name(); }

bool ended(const v1::Task& task) {
  return task.state() == v1::Task::SUCCEEDED || task.state() == v1::Task::FAILED || task.state() == v1::Task::CANCELLED;
}

}  // namespace

Error error_of_task(const v1::Task& task) {
  const auto& problem = task.problem();
  if (task.state() == v1::Task::CANCELLED) {
    return Error{ErrorCode::cancelled, title_of(task) + " was cancelled", problem.cause(), problem.next_step()};
  }
  return Error{ErrorCode::internal, problem.summary().empty() ? title_of(task) + " failed" : problem.summary(),
               problem.cause(), problem.next_step(), problem.code()};
}

int report(const Error& error) {
  print_error(error);
  return exit_code_of(error);
}

void print_plan(const v1::Plan& plan) {
  std::cout << "This would be done:\n";
  for (const auto& step : plan.steps()) std::cout << "  - " << printable(step) << "\n";
  for (const auto& warning : plan.warnings()) std::cout << "  warning: " << printable(warning) << "\n";
  for (const auto& candidate : plan.placement().candidates()) {
    std::cout << "  host " << printable(candidate.host_name()) << (candidate.fits() ? " fits: " : " does not fit: ")
              << printable(candidate.reason()) << "\n";
  }
}

Format Session::format() const {
  if (options.format == "json") return Format::json;
  return options.format == "yaml" ? Format::yaml : Format::table;
}

Result<ApiClient*> Session::api() {
  if (!api_) {
    auto settings = find_settings(options.settings);
    if (!settings) return fail(settings.error());
    api_ = std::make_unique<ApiClient>(std::move(*settings));
  }
  return api_.get();
}

Result<v1::Task> Session::change(const std::string& rpc, const google::protobuf::Message& request) {
  auto client = api();
  if (!client) return fail(client.error());
  auto accepted = (*client)->call<v1::Accepted>(rpc, request, CallFlags{options.dry_run});
  if (!accepted) return fail(accepted.error());
  if (options.dry_run) {
    show_plan(accepted);
    return v1::Task();
  }
  if (!options.quiet) {
    for (const auto& warning : accepted->plan().warnings()) std::cerr << "warning: " << printable(warning) << "\n";
  }
  if (!options.wait) return accepted->task();
  return wait_for_task(accepted->task().meta().id());
}

int Session::show_plan(const Result<v1::Accepted>& accepted) const {
  if (!accepted) return report(accepted.error());
  if (format() == Format::table) {
    print_plan(accepted->plan());
  } else {
    print_record(accepted->plan(), format());
  }
  return 0;
}

Result<v1::Task> Session::wait_for_task(const std::string& task_id) {
  auto client = api();
  if (!client) return fail(client.error());
  v1::ById request;
  request.set_id(task_id);
  std::unique_ptr<ProgressLine> line;
  int failures = 0;
  // Short changes are seen at once, long ones are not asked after more than twice a second.
  for (int pause_ms = 10;; pause_ms = std::min(pause_ms * 2, 500)) {
    auto task = (*client)->call<v1::Task>("GetTask", request);
    if (!task) {
      // The daemon may be replaced meanwhile; the task is not lost by that.
      if (task.error().code != ErrorCode::unavailable || ++failures > kFailuresMax) return fail(task.error());
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      continue;
    }
    failures = 0;
    if (ended(*task)) {
      const bool good = task->state() == v1::Task::SUCCEEDED;
      if (!options.quiet && line) line->finish(good ? "done" : "failed");
      if (!good) return fail(error_of_task(*task));
      return task;
    }
    if (!options.quiet) {
      if (!line) line = std::make_unique<ProgressLine>(title_of(*task));
      line->show(task->progress());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
  }
}

int Session::run_change(const std::string& rpc, const google::protobuf::Message& request) {
  const auto task = change(rpc, request);
  if (!task) return report(task.error());
  return options.dry_run ? 0 : conclude(*task);
}

int Session::conclude(const v1::Task& task) const {
  if (format() != Format::table) {
    print_record(task, format());
  } else if (!options.wait) {
    std::cout << task.meta().id() << "\n";
  } else if (!options.quiet) {
    std::cout << task.action() << " " << task.target_name() << ": done\n";
  }
  return 0;
}

}  // namespace gantry::app
