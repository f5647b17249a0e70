// What every command works with: the connection, the global options, and the ending of changes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/cli/api_client.h"
#include "app/cli/output.h"
#include "base/result.h"

namespace gantry::app {

struct GlobalOptions {
  SettingsOptions settings;
  std::string format = "table";
  bool wait = true;
  bool dry_run = false;
  bool quiet = false;
};

// Prints why something failed; the exit code that says so.
int report(const Error& error);

class Session {
 public:
  GlobalOptions options;

  // Finds the server at the first use.
  Result<ApiClient*> api();
  [[nodiscard]] Format format() const;

  // Sends a CHANGE and, unless told otherwise, waits for its task with a progress bar. The ended (or, without waiting,
  // accepted) task; empty after a dry run, whose plan was printed.
  Result<v1::Task> change(const std::string& rpc, const google::protobuf::Message& request);
  // The same where nothing is left to do afterwards: prints and gives the exit code.
  int run_change(const std::string& rpc, const google::protobuf::Message& request);
  // How that ends: prints the task as the options ask for.
  [[nodiscard]] int conclude(const v1::Task& task) const;
  Result<v1::Task> wait_for_task(const std::string& task_id);
  // A change that makes no task: what is to be done with its answer is `done`'s; a dry run prints the plan instead.
  template <class Answer>
  int run_direct(const std::string& rpc, const google::protobuf::Message& request,
                 const std::function<int(const Answer&)>& done) {
    auto client = api();
    if (!client) return report(client.error());
    return run_direct_by<Answer>(**client, rpc, request, done);
  }
  // The same by another client than the session's own.
  template <class Answer>
  int run_direct_by(ApiClient& client, const std::string& rpc, const google::protobuf::Message& request,
                    const std::function<int(const Answer&)>& done) {
    if (options.dry_run) return show_plan(client.call<v1::Accepted>(rpc, request, CallFlags{true}));
    const auto answer = client.call<Answer>(rpc, request);
    return answer ? done(*answer) : report(answer.error());
  }

 private:
  // Prints the plan of a dry run, or why there is none; the exit code.
  int show_plan(const Result<v1::Accepted>& accepted) const;

  std::unique_ptr<ApiClient> api_;
};

// Why a task that ended did not succeed. Its code never says more than "failed" (exit code 1): the problem's own word
// is the reason.
Error error_of_task(const v1::Task& task);
void print_plan(const v1::Plan& plan);

}  // namespace gantry::app
