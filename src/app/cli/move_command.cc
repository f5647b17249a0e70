// Moving a guest that runs to another host.
#include <iostream>

#include "app/cli/commands.h"
#include "model/limits.h"

namespace gantry::app {
namespace {

int move_vm(Session& session, const v1::MoveVmRequest& request) {
  const auto task = session.change("MoveVm", request);
  if (!task) return report(task.error());
  if (session.options.dry_run) return 0;
  const int code = session.conclude(*task);
  const std::string& how = task->progress().phase();
  // What it cost the guest; in the other formats the task says it.
  const bool tells = session.format() == Format::table && session.options.wait && !session.options.quiet;
  if (tells && !how.empty()) std::cout << printable(how) << "\n";
  return code;
}

}  // namespace

void add_move_command(const Commands& commands) {
  struct Options {
    std::string name;
    std::string host;
    std::uint32_t downtime_ms = 0;
    std::string bandwidth;
    std::string pool;
    bool postcopy = false;
    std::uint32_t connections = 0;
  };
  auto* command = commands.add(commands.app, "move", "Move a running guest to another host without stopping it",
                               "gantry move web\ngantry move web beta --dry-run\n"
                               "gantry move web beta --downtime 300 --bandwidth 100M\n"
                               "gantry move web beta --pool fast\n"
                               "gantry move web beta --connections 4\n"
                               "gantry move web beta --postcopy");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "Name or id")->required()->type_name("VM");
  command->add_option("host", options->host, "Where to; Gantry chooses if not given")->type_name("HOST");
  command
      ->add_option("--downtime", options->downtime_ms,
                   "Milliseconds that the guest may stand still for the last of its memory; " +
                       std::to_string(model::kMoveDowntimeMsDefault) + " if not given")
      ->type_name("MS")
      ->check(within(1, model::kMoveDowntimeMsMax));
  command
      ->add_option("--bandwidth", options->bandwidth,
                   "Bytes a second at most, such as 100M; as much as goes if not given")
      ->type_name("SIZE");
  command
      ->add_option("--pool", options->pool,
                   "Where disks go that the other host does not reach; Gantry chooses if not given")
      ->type_name("POOL");
  command->add_flag("--postcopy", options->postcopy,
                    "Let a guest that changes its memory faster than it is sent go on there before all of it has come: "
                    "if either host or the network ends until then, the guest is lost as by a loss of power");
  command
      ->add_option("--connections", options->connections,
                   "How many connections send its memory at once; 1 if not given. Not with --postcopy")
      ->type_name("NUMBER")
      ->check(within(1, model::kMoveConnectionsMax));
  commands.run(command, [&session = commands.session, options] {
    v1::MoveVmRequest request;
    request.set_id(options->name);
    request.set_host(options->host);
    request.set_pool(options->pool);
    request.set_downtime_ms_max(options->downtime_ms);
    request.set_postcopy(options->postcopy);
    request.set_connections(options->connections);
    const auto bytes = parse_limit(options->bandwidth);
    if (!bytes) return report(bytes.error());
    request.set_bytes_per_second_max(*bytes);
    return move_vm(session, request);
  });
}

}  // namespace gantry::app
