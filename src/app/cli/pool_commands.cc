#include <iostream>
#include <map>
#include <utility>

#include "app/cli/commands.h"
#include "app/cli/launch_parts.h"
#include "app/cli/record_commands.h"
#include "model/ceph_client.h"
#include "model/pool_drivers.h"
#include "runtime/files.h"

namespace gantry::app {
namespace {

using Names = std::map<std::string, std::string>;

Names host_names(const v1::HostList& hosts) {
  Names names;
  for (const auto& host : hosts.items()) names[host.meta().id()] = host.meta().name();
  return names;
}

std::string name_of(const Names& names, const std::string& host_id) {
  const auto found = names.find(host_id);
  return found != names.end() ? found->second : host_id;
}

// The hosts that have it ready; the one it is on.
std::string hosts_of(const v1::Pool& pool, const Names& names) {
  if (!pool.spec().shared()) return name_of(names, pool.spec().host_id());
  std::string ready;
  for (const auto& there : pool.status().hosts()) {
    if (there.state() != v1::PoolStatus::READY) continue;
    ready += (ready.empty() ? "" : ",") + name_of(names, there.host_id());
  }
  return ready.empty() ? "-" : ready;
}

// Why it cannot be used, or on which of its hosts.
std::string reason_on_hosts(const v1::Pool& pool, const Names& names) {
  std::string reasons;
  for (const auto& there : pool.status().hosts()) {
    if (there.state() != v1::PoolStatus::FAILED) continue;
    reasons += (reasons.empty() ? "" : "; ") + name_of(names, there.host_id()) + ": " + reason_of(there.problem());
  }
  return reasons.empty() ? reason_of(pool.status().problem()) : reasons;
}

// A directory; of Ceph "ceph:vms/blue".
std::string place_of(const v1::PoolSpec& spec) {
  if (!model::is_in_ceph(spec)) return spec.path();
  const v1::RbdPool& rbd = spec.rbd();
  return "ceph:" + rbd.pool() + (rbd.namespace_().empty() ? "" : "/" + rbd.namespace_());
}

Table pool_table(const v1::PoolList& list, const Names& names) {
  Table table({"NAME", "STATE", "HOSTS", "CAPACITY", "AVAILABLE", "PROMISED", "PATH", "ID", "REASON"});
  for (const auto& pool : list.items()) {
    const auto& status = pool.status();
    table.add({pool.meta().name(), v1::PoolStatus::State_Name(status.state()), hosts_of(pool, names),
               human_bytes(status.capacity_bytes()), human_bytes(status.available_bytes()),
               human_bytes(status.promised_bytes()), place_of(pool.spec()), pool.meta().id(),
               reason_on_hosts(pool, names)});
  }
  return table;
}

void add_list(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "list", "List all", "gantry pool list\ngantry pool list -o json");
  auto labels = std::make_shared<std::string>();
  command->add_option("-l,--label", *labels, "Only those with these labels: key=value[,key=value]")
      ->check(label_filter());
  commands.run(command, [&session = commands.session, labels] {
    v1::ListRequest request;
    request.set_labels(*labels);
    Names names;
    if (session.format() == Format::table) {
      auto client = session.api();
      if (!client) return report(client.error());
      const auto hosts = fetch_all<v1::HostList>(**client, "ListHosts", v1::ListRequest());
      if (!hosts) return report(hosts.error());
      names = host_names(*hosts);
    }
    return list_records<v1::PoolList>(session, "ListPools", request,
                                      [&names](const v1::PoolList& list) { return pool_table(list, names); });
  });
}

int show_pool(Session& session, const std::string& name) {
  if (session.format() != Format::table) return show_record<v1::Pool>(session, "GetPool", name);
  auto client = session.api();
  if (!client) return report(client.error());
  v1::ById request;
  request.set_id(name);
  const auto pool = (*client)->call<v1::Pool>("GetPool", request);
  if (!pool) return report(pool.error());
  const auto hosts = fetch_all<v1::HostList>(**client, "ListHosts", v1::ListRequest());
  if (!hosts) return report(hosts.error());
  std::cout << with_names(to_yaml(*pool), host_names(*hosts));
  return 0;
}

void add_show(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "show", "Show everything about one", "gantry pool show NAME");
  auto name = std::make_shared<std::string>();
  command->add_option("name", *name, "Name or id")->required()->type_name("POOL");
  commands.run(command, [&session = commands.session, name] { return show_pool(session, *name); });
}

struct CreateOptions {
  std::string name;
  std::string path;
  bool shared = false;
  std::string rbd_pool;
  std::vector<std::string> monitors;
  std::string rbd_namespace;
  std::string user = "admin";
  std::string key_file;
  std::vector<std::string> hosts;
  std::uint32_t overcommit_percent = 0;
  std::vector<std::string> labels;
};

Error cannot_create(const CreateOptions& options, std::string cause, std::string next_step) {
  return {ErrorCode::invalid_argument, "pool " + options.name + " cannot be made", std::move(cause),
          std::move(next_step)};
}

Result<void> check(const CreateOptions& options) {
  const bool in_ceph = !options.rbd_pool.empty();
  if (in_ceph != options.path.empty()) {
    return fail(cannot_create(options, in_ceph ? "a pool of Ceph has no path" : "it is not said where it is",
                              "give --path, or --rbd"));
  }
  const bool tells_of_ceph = !options.monitors.empty() || !options.rbd_namespace.empty() || !options.key_file.empty();
  if (!in_ceph && tells_of_ceph) {
    return fail(cannot_create(options, "--monitor, --namespace and --key-file are of pools of Ceph", "give --rbd"));
  }
  if (in_ceph && (options.monitors.empty() || options.key_file.empty())) {
    return fail(cannot_create(options, "it is not said how Ceph is reached", "give --monitor and --key-file"));
  }
  if (!options.shared && !in_ceph && options.hosts.size() > 1) {
    return fail(Error{ErrorCode::invalid_argument, "pool " + options.name + " cannot be on several hosts",
                      "it is not shared", "give --shared, or one --host"});
  }
  return {};
}

Result<void> set_rbd(const CreateOptions& options, v1::PoolSpec& spec) {
  const auto text = runtime::read_file(options.key_file, 1U << 16U);
  if (!text) return fail(text.error());
  const auto key = model::find_ceph_key(*text, options.user);
  if (!key) {
    return fail(cannot_create(options, options.key_file + " has no key of Ceph's user \"" + options.user + "\"",
                              "write it with: ceph auth get client." + options.user + " -o FILE"));
  }
  spec.set_driver(v1::PoolSpec::RBD);
  v1::RbdPool& rbd = *spec.mutable_rbd();
  rbd.set_pool(options.rbd_pool);
  rbd.set_namespace_(options.rbd_namespace);
  rbd.mutable_monitors()->Assign(options.monitors.begin(), options.monitors.end());
  rbd.set_user(options.user);
  rbd.set_key(*key);
  return {};
}

int create_pool(Session& session, const CreateOptions& options) {
  if (auto checked = check(options); !checked) return report(checked.error());
  v1::CreatePoolRequest request;
  request.set_name(options.name);
  add_labels(options.labels, *request.mutable_labels());
  v1::PoolSpec& spec = *request.mutable_spec();
  spec.set_path(options.path);
  spec.set_shared(options.shared || !options.rbd_pool.empty());
  if (!options.rbd_pool.empty()) {
    if (auto set = set_rbd(options, spec); !set) return report(set.error());
  }
  if (spec.shared()) {
    spec.mutable_hosts()->Assign(options.hosts.begin(), options.hosts.end());
  } else if (!options.hosts.empty()) {
    spec.set_host_id(options.hosts.front());
  }
  spec.set_overcommit_percent(options.overcommit_percent);
  return session.run_change("CreatePool", request);
}

void add_rbd_options(CLI::App& command, CreateOptions& options) {
  command.add_option("--rbd", options.rbd_pool, "Ceph's name of a pool there, which is shared: instead of --path")
      ->type_name("POOL");
  command
      .add_option("--monitor", options.monitors,
                  "With --rbd: a monitor's address, 10.0.0.1 or 10.0.0.1:6789; may be given again")
      ->type_name("ADDRESS");
  command.add_option("--namespace", options.rbd_namespace, "With --rbd: a namespace in that pool")->type_name("NAME");
  command.add_option("--user", options.user, "With --rbd: Ceph's user, without \"client.\"")
      ->type_name("NAME")
      ->capture_default_str();
  command
      .add_option("--key-file", options.key_file,
                  "With --rbd: a file with that user's key, as \"ceph auth get\" or \"ceph auth get-key\" prints it")
      ->type_name("FILE");
}

void add_create(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "create", "Add a directory, or a pool of Ceph, as a pool",
                               "gantry pool create fast --path /srv/fast\n"
                               "gantry pool create shared --shared --path /mnt/gantry\n"
                               "gantry pool create shared --shared --path /mnt/gantry --host alpha --host beta\n"
                               "gantry pool create ceph --rbd vms --monitor 10.0.0.1 --monitor 10.0.0.2 --user gantry "
                               "--key-file gantry.keyring");
  auto options = std::make_shared<CreateOptions>();
  command->add_option("name", options->name, "Its name: a-z, 0-9 and -")->required();
  command->add_option("--path", options->path, "Absolute directory on the host")->type_name("FILE");
  command->add_flag("--shared", options->shared,
                    "The same directory on several hosts, by NFS, CephFS or the like; mounted there already");
  add_rbd_options(*command, *options);
  command
      ->add_option("--host", options->hosts,
                   "Host it is on; the manager's own machine if not given. Of a shared pool every host, or these: may "
                   "be given again")
      ->type_name("HOST");
  command
      ->add_option("--overcommit", options->overcommit_percent,
                   "Per cent of the capacity that volumes may be promised (200)")
      ->type_name("N")
      ->check(within(10, 10'000));
  command->add_option("-l,--label", options->labels, "key=value; may be given again")->check(label());
  commands.run(command, [&session = commands.session, options] { return create_pool(session, *options); });
}

}  // namespace

void add_pool_commands(const Commands& commands) {
  auto* pools =
      commands.group("pool", "Places that hold disks and images",
                     "gantry pool list\ngantry pool create fast --path /srv/fast\ngantry pool create shared --shared "
                     "--path /mnt/gantry\ngantry pool create ceph --rbd vms --monitor 10.0.0.1 --user gantry "
                     "--key-file gantry.keyring");
  add_list(commands, *pools);
  add_show(commands, *pools);
  add_create(commands, *pools);
  add_delete(commands, *pools, "pool", "Pool");
}

}  // namespace gantry::app
