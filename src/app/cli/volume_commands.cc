#include "app/cli/commands.h"
#include "app/cli/launch_parts.h"
#include "app/cli/record_commands.h"

namespace gantry::app {
namespace {

Table volume_table(const v1::VolumeList& list) {
  Table table({"NAME", "STATE", "FORMAT", "CAPACITY", "ON DISK", "ID", "REASON"});
  for (const auto& volume : list.items()) {
    table.add({volume.meta().name(), v1::VolumeStatus::State_Name(volume.status().state()),
               v1::VolumeSpec::Format_Name(volume.spec().format()), human_bytes(volume.spec().capacity_bytes()),
               human_bytes(volume.status().allocation_bytes()), volume.meta().id(),
               reason_of(volume.status().problem())});
  }
  return table;
}

void add_create_volume(const Commands& commands, CLI::App& group) {
  struct Options {
    std::string name;
    std::string size;
    std::string pool;
    std::string image;
    std::string format = "qcow2";
    std::vector<std::string> labels;
  };
  auto* command =
      commands.add(group, "create", "Make a volume",
                   "gantry volume create data --size 100G\ngantry volume create copy --image debian-12 --format raw");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "Its name: a-z, 0-9 and -")->required();
  command->add_option("-s,--size", options->size, "Capacity, such as 10G; an image's own if not given")
      ->type_name("SIZE");
  command->add_option("--pool", options->pool, "Pool it is in")->type_name("POOL");
  command->add_option("--image", options->image, "Image it begins as")->type_name("IMAGE");
  command->add_option("--format", options->format, "qcow2 or raw")
      ->check(CLI::IsMember({"qcow2", "raw"}))
      ->capture_default_str();
  command->add_option("-l,--label", options->labels, "key=value; may be given again")->check(label());
  commands.run(command, [&session = commands.session, options] {
    if (options->size.empty() && options->image.empty()) {
      return report(Error{ErrorCode::invalid_argument, "volume " + options->name + " has no size",
                          "it does not begin as an image, whose size it could have", "give one: --size 10G"});
    }
    v1::CreateVolumeRequest request;
    request.set_name(options->name);
    add_labels(options->labels, *request.mutable_labels());
    auto& spec = *request.mutable_spec();
    spec.set_pool(options->pool);
    spec.set_image(options->image);
    if (options->format == "raw") spec.set_format(v1::VolumeSpec::RAW);
    if (!options->size.empty()) {
      const auto bytes = parse_bytes(options->size);
      if (!bytes) return report(bytes.error());
      spec.set_capacity_bytes(*bytes);
    }
    return session.run_change("CreateVolume", request);
  });
}

void add_resize(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "resize", "Grow a volume while its virtual machine is stopped",
                               "gantry volume resize data --size 200G");
  auto name = std::make_shared<std::string>();
  auto size = std::make_shared<std::string>();
  command->add_option("name", *name, "Name or id")->required()->type_name("VOLUME");
  command->add_option("-s,--size", *size, "New capacity, such as 200G")->required()->type_name("SIZE");
  commands.run(command, [&session = commands.session, name, size] {
    const auto bytes = parse_bytes(*size);
    if (!bytes) return report(bytes.error());
    v1::ResizeVolumeRequest request;
    request.set_id(*name);
    request.set_capacity_bytes(*bytes);
    return session.run_change("ResizeVolume", request);
  });
}

void add_move(const Commands& commands, CLI::App& group) {
  struct Options {
    std::string name;
    std::string pool;
    std::string bandwidth;
  };
  auto* command =
      commands.add(group, "move", "Move a disk of a running guest to another pool without stopping it",
                   "gantry volume move web-disk0 fast\ngantry volume move web-disk0 fast --bandwidth 50M --dry-run");
  auto options = std::make_shared<Options>();
  command->add_option("name", options->name, "Name or id")->required()->type_name("VOLUME");
  command->add_option("pool", options->pool, "Where to")->required()->type_name("POOL");
  command
      ->add_option("--bandwidth", options->bandwidth,
                   "Bytes a second at most, such as 50M; as much as the pools take if not given")
      ->type_name("SIZE");
  commands.run(command, [&session = commands.session, options] {
    v1::MoveVolumeRequest request;
    request.set_id(options->name);
    request.set_pool(options->pool);
    const auto bytes = parse_limit(options->bandwidth);
    if (!bytes) return report(bytes.error());
    request.set_bytes_per_second_max(*bytes);
    return session.run_change("MoveVolume", request);
  });
}

}  // namespace

void add_volume_commands(const Commands& commands) {
  auto* volumes = commands.group(
      "volume", "Disks of virtual machines",
      "gantry volume list\ngantry volume create data --size 100G\ngantry volume resize data --size 200G\n"
      "gantry volume move data fast");
  add_record_commands<v1::Volume, v1::VolumeList>(commands, *volumes, "volume", "Volume", volume_table);
  add_create_volume(commands, *volumes);
  add_resize(commands, *volumes);
  add_move(commands, *volumes);
}

}  // namespace gantry::app
