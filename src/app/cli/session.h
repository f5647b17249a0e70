// What every command works with: the connection, the global options, and the ending of changes.
#pragma once

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
  Result<v1::Task> wait_for_task(const std::string& task_id);

 private:
  std::unique_ptr<ApiClient> api_;
};

int report(const Error& error);
void print_plan(const v1::Plan& plan);

}  // namespace gantry::app
