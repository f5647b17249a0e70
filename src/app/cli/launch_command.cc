#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "app/cli/commands.h"
#include "app/cli/launch_parts.h"
#include "app/cli/reach.h"
#include "model/limits.h"
#include "runtime/files.h"

namespace gantry::app {
namespace {

struct LaunchOptions {
  std::string image;
  std::string name;
  std::uint32_t cpus = 1;
  std::string memory = "1G";
  std::string disk;
  std::vector<std::string> extra_disks;
  std::string pool;
  std::vector<std::string> networks;
  std::vector<std::string> forwards;
  std::vector<std::string> security_groups;
  std::vector<std::string> ssh_keys;
  bool no_ssh_key = false;
  std::string user;
  std::string host_name;
  std::string user_data_path;
  std::string firmware;
  bool tpm = false;
  std::string host;
  std::vector<std::string> host_labels;
  std::string cpu_model;
  std::uint32_t stop_timeout_seconds = 0;
  bool no_start = false;
  std::vector<std::string> labels;
};

// The user's own public keys, if there are any: without one nobody could sign in.
std::vector<std::string> default_ssh_keys() {
  std::vector<std::string> keys;
  const char* home = std::getenv("HOME");
  if (home == nullptr) return keys;
  for (const char* name : {"id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"}) {
    if (auto text = runtime::read_file(std::string(home) + "/.ssh/" + name, 1U << 16U)) keys.push_back(*text);
  }
  return keys;
}

Result<void> fill_keys(const LaunchOptions& options, v1::CloudInit& cloud_init) {
  auto keys = options.ssh_keys.empty() && !options.no_ssh_key ? default_ssh_keys() : std::vector<std::string>();
  for (const auto& given : options.ssh_keys) {
    if (given.find(' ') != std::string::npos) {
      keys.push_back(given);
      continue;
    }
    auto text = runtime::read_file(given, 1U << 16U);
    if (!text) {
      Error why = text.error();
      why.next_step = "give a file with a public key, or the key itself in quotes; ssh-keygen -t ed25519 makes one";
      return fail(std::move(why));
    }
    keys.push_back(*text);
  }
  for (auto& key : keys) {
    while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
    cloud_init.add_ssh_authorized_keys(key);
  }
  return {};
}

// An image of kind KERNEL is no disk; which kind it is matters only where the pool of a first disk would be said.
Result<bool> asks_for_first_disk(Session& session, const LaunchOptions& options) {
  if (!options.disk.empty() || options.pool.empty()) return !options.disk.empty();
  auto client = session.api();
  if (!client) return fail(client.error());
  v1::ById request;
  request.set_id(options.image);
  const auto image = (*client)->call<v1::Image>("GetImage", request);
  if (!image) return fail(image.error());
  return image->spec().kind() != v1::ImageSpec::KERNEL;
}

Result<void> fill_disks(Session& session, const LaunchOptions& options, v1::VmSpec& spec) {
  const auto has_first = asks_for_first_disk(session, options);
  if (!has_first) return fail(has_first.error());
  if (*has_first) {
    auto root = parse_disk(options.disk, true);
    if (!root) return fail(root.error());
    root->mutable_create()->set_image(options.image);
    *spec.add_disks() = std::move(*root);
  }
  for (const auto& extra : options.extra_disks) {
    auto disk = parse_disk(extra, false);
    if (!disk) return fail(disk.error());
    *spec.add_disks() = std::move(*disk);
  }
  for (auto& disk : *spec.mutable_disks()) {
    if (disk.has_create() && disk.create().pool().empty()) disk.mutable_create()->set_pool(options.pool);
  }
  return {};
}

Result<void> fill_networks(const LaunchOptions& options, v1::VmSpec& spec) {
  for (const auto& network : options.networks) {
    auto nic = parse_nic(network);
    if (!nic) return fail(nic.error());
    *spec.add_nics() = std::move(*nic);
  }
  if (options.forwards.empty() && options.security_groups.empty()) return {};
  if (spec.nics().empty()) spec.add_nics();
  for (auto& nic : *spec.mutable_nics()) {
    nic.mutable_security_groups()->Assign(options.security_groups.begin(), options.security_groups.end());
  }
  for (const auto& text : options.forwards) {
    auto forward = parse_forward(text);
    if (!forward) return fail(forward.error());
    *spec.mutable_nics(0)->add_port_forwards() = *forward;
  }
  return {};
}

Result<v1::CreateVmRequest> make_request(Session& session, const LaunchOptions& options) {
  v1::CreateVmRequest request;
  request.set_name(options.name);
  add_labels(options.labels, *request.mutable_labels());
  auto& spec = *request.mutable_spec();
  spec.set_image(options.image);
  spec.set_cpus(options.cpus);
  spec.set_host(options.host);
  add_labels(options.host_labels, *spec.mutable_host_labels());
  spec.set_cpu_model(options.cpu_model);
  if (options.no_start) spec.set_power(v1::VmSpec::STOPPED);
  if (options.firmware == "uefi") spec.set_firmware(v1::VmSpec::UEFI);
  if (options.firmware == "bios") spec.set_firmware(v1::VmSpec::BIOS);
  spec.set_tpm(options.tpm);
  const auto memory = parse_mebibytes(options.memory);
  if (!memory) return fail(memory.error());
  spec.set_memory_mib(*memory);
  spec.set_stop_timeout_seconds(options.stop_timeout_seconds);
  if (auto filled = fill_disks(session, options, spec); !filled) return fail(filled.error());
  if (auto filled = fill_networks(options, spec); !filled) return fail(filled.error());
  auto& cloud_init = *spec.mutable_cloud_init();
  cloud_init.set_user(options.user);
  cloud_init.set_host_name(options.host_name);
  if (auto filled = fill_keys(options, cloud_init); !filled) return fail(filled.error());
  if (!options.user_data_path.empty()) {
    auto text = runtime::read_file(options.user_data_path, 1U << 16U);
    if (!text) return fail(text.error());
    cloud_init.set_user_data(*text);
  }
  return request;
}

// What to tell whoever would find out only at the guest's login; empty: nothing. An image booted by its kernel brings
// what it needs, and --no-ssh-key is an answer too.
std::string keyless_warning(Session& session, const LaunchOptions& options, const v1::CreateVmRequest& request) {
  const auto& cloud_init = request.spec().cloud_init();
  if (options.no_ssh_key || !cloud_init.ssh_authorized_keys().empty() || !cloud_init.user_data().empty()) return {};
  auto client = session.api();
  if (!client) return {};
  v1::ById by_id;
  by_id.set_id(options.image);
  const auto image = (*client)->call<v1::Image>("GetImage", by_id);
  if (!image || image->spec().kind() == v1::ImageSpec::KERNEL) return {};
  const bool made_here = !image->spec().recipe().empty();
  return std::string("no SSH key: nobody can sign in over SSH") +
         (made_here ? "" : ", unless the image has accounts of its own") +
         "; give one with --ssh-key FILE, or --user-data";
}

// The options by which `gantry ssh` finds the key, where it is not one that ssh tries by itself.
std::string identity_of(const LaunchOptions& options) {
  constexpr std::string_view kPublic = ".pub";
  for (const auto& given : options.ssh_keys) {
    if (given.size() <= kPublic.size() || given.substr(given.size() - kPublic.size()) != kPublic) continue;
    const std::string path = given.substr(0, given.size() - kPublic.size());
    if (given.find(' ') == std::string::npos && std::filesystem::exists(path)) return "-i " + path + " ";
  }
  return {};
}

// How to reach what was made.
int describe_launched(Session& session, const LaunchOptions& options, const std::string& vm_id) {
  auto client = session.api();
  v1::ById by_id;
  by_id.set_id(vm_id);
  auto vm = (*client)->call<v1::Vm>("GetVm", by_id);
  if (!vm) return report(vm.error());
  const bool elsewhere = keep_reachable(**client, *vm);
  std::cout << "VM " << vm->meta().name() << " is " << v1::VmStatus::State_Name(vm->status().state()) << "\n"
            << (vm->spec().power() == v1::VmSpec::STOPPED ? "  start:   gantry start " + vm->meta().name() + "\n" : "");
  if (!elsewhere) std::cout << "  console: gantry console " << vm->meta().name() << "   (leave with Ctrl-])\n";
  if (!elsewhere && !vm->spec().cloud_init().ssh_authorized_keys().empty()) {
    std::cout << "  shell:   gantry ssh " << identity_of(options) << vm->meta().name() << "\n";
  }
  for (const auto& nic : vm->spec().nics()) {
    if (!nic.ipv4().empty()) std::cout << "  address: " << nic.ipv4() << "\n";
    for (const auto& forward : nic.port_forwards()) {
      std::cout << "  port:    " << (forward.host_address().empty() ? "127.0.0.1" : forward.host_address()) << ":"
                << forward.host_port() << " -> " << forward.guest_port() << "\n";
    }
  }
  return 0;
}

int launch(Session& session, const LaunchOptions& options) {
  const auto request = make_request(session, options);
  if (!request) return report(request.error());
  const std::string warning = keyless_warning(session, options, *request);
  const auto task = session.change("CreateVm", *request);
  if (!task) return report(task.error());
  if (!warning.empty() && !session.options.quiet) std::cerr << "warning: " << warning << "\n";
  if (session.options.dry_run) return 0;
  if (session.format() != Format::table) {
    print_record(*task, session.format());
    return 0;
  }
  if (!session.options.wait) {
    std::cout << task->meta().id() << "\n";
    return 0;
  }
  return session.options.quiet ? 0 : describe_launched(session, options, task->target_id());
}

}  // namespace

void add_launch_command(const Commands& commands) {
  auto* command = commands.add(commands.app, "launch", "Make a virtual machine from an image and start it",
                               "gantry launch debian-12 --name web --cpus 2 --memory 1G\n"
                               "gantry launch debian-12 --name db --disk 50G --add-disk 200G --forward 5432:5432\n"
                               "gantry launch debian-12 --name old --disk bus=sata --network default,model=e1000e\n"
                               "gantry launch debian-12 --name www --network segment --security-group web\n"
                               "gantry launch debian-12 --name test --dry-run");
  auto options = std::make_shared<LaunchOptions>();
  command->add_option("image", options->image, "Name or id of an image (see: gantry image list)")
      ->required()
      ->type_name("IMAGE");
  command->add_option("-n,--name", options->name, "Its name: a-z, 0-9 and -")->required();
  command->add_option("-c,--cpus", options->cpus, "Processors")
      ->type_name("N")
      ->check(within(1, model::kCpusMax))
      ->capture_default_str();
  command->add_option("-m,--memory", options->memory, "Memory, such as 512M or 2G")
      ->type_name("SIZE")
      ->capture_default_str();
  command->add_option("-d,--disk", options->disk,
                      "Its first disk: SIZE[,bus=virtio|sata][,format=qcow2|raw]; the image's own size if not given");
  command
      ->add_option("--add-disk", options->extra_disks,
                   "One more disk: a size to make, or a volume's name, each with [,bus=...][,format=...][,pool=...]"
                   "[,read-only]")
      ->type_name("SIZE|VOLUME");
  command->add_option("--pool", options->pool, "Pool for new disks")->type_name("POOL");
  command
      ->add_option("--network", options->networks,
                   "A NIC: NETWORK[,model=virtio|e1000e][,mac=MAC][,ip=ADDRESS]; may be given again; \"none\" for "
                   "no NIC")
      ->type_name("NETWORK|{none}");
  command->add_option("-p,--forward", options->forwards,
                      "Port forward to its first NIC: [ADDRESS:][HOST_PORT]:GUEST_PORT[/udp]");
  command
      ->add_option("--security-group", options->security_groups,
                   "What is let through to and from all its NICs; may be given again; everything if not given")
      ->type_name("SECURITY-GROUP");
  command->add_option("--ssh-key", options->ssh_keys, "Public key, or a file with one; yours in ~/.ssh if not given")
      ->type_name("KEY|FILE");
  command->add_flag("--no-ssh-key", options->no_ssh_key, "Give it no key");
  command->add_option("--user", options->user, "User to make in the guest");
  command->add_option("--hostname", options->host_name, "Its host name; the VM's name if not given");
  command->add_option("--user-data", options->user_data_path, "File with cloud-init user-data")
      ->type_name("FILE")
      ->check(CLI::ExistingFile.description(""));
  command->add_option("--firmware", options->firmware, "bios or uefi; as the image says if not given")
      ->check(CLI::IsMember({"bios", "uefi"}));
  command->add_flag("--tpm", options->tpm, "Give it a TPM 2.0, as Windows 11 and sealed disks need");
  command->add_option("--host", options->host, "The one host it may run on")->type_name("HOST");
  command
      ->add_option("--host-label", options->host_labels,
                   "key=value that hosts it runs on must have; may be given again")
      ->check(label());
  command->add_option("--cpu-model", options->cpu_model,
                      "QEMU's name of its processors, one of cpuModels in: gantry host show; the best its hosts have "
                      "if not given");
  command
      ->add_option("--stop-timeout", options->stop_timeout_seconds,
                   "Seconds that stops wait for the guest before forcing it (60)")
      ->type_name("SECONDS")
      ->check(within(1, model::kStopTimeoutSecondsMax));
  command->add_flag("--no-start", options->no_start, "Make it, but do not start it");
  command->add_option("-l,--label", options->labels, "key=value; may be given again")->check(label());
  commands.run(command, [&session = commands.session, options] { return launch(session, *options); });
}

}  // namespace gantry::app
