#include <filesystem>
#include <memory>

#include "app/cli/commands.h"
#include "app/cli/launch_parts.h"
#include "app/cli/record_commands.h"

namespace gantry::app {
namespace {

Table image_table(const v1::ImageList& list) {
  Table table({"NAME", "STATE", "KIND", "SIZE", "ON DISK", "ID", "REASON"});
  for (const auto& image : list.items()) {
    table.add({image.meta().name(), v1::ImageStatus::State_Name(image.status().state()),
               v1::ImageSpec::Kind_Name(image.spec().kind()), human_bytes(image.status().virtual_size_bytes()),
               human_bytes(image.status().allocation_bytes()), image.meta().id(), reason_of(image.status().problem())});
  }
  return table;
}

void add_build(const Commands& commands, CLI::App& group) {
  struct Options {
    std::string recipe;
    std::string name;
    std::string pool;
    std::vector<std::string> settings;
    std::vector<std::string> labels;
  };
  auto* command = commands.add(
      group, "build", "Make an image from its distribution's packages",
      "gantry image build debian-12\ngantry image build debian-12 --name web-base --set packages=nginx,vim");
  auto options = std::make_shared<Options>();
  command->add_option("recipe", options->recipe, "What to make")->required()->type_name("{debian-12}");
  command->add_option("-n,--name", options->name, "Its name; the recipe's if not given");
  command->add_option("--pool", options->pool, "Pool to keep it in")->type_name("POOL");
  command->add_option("--set", options->settings, "A setting of the recipe: mirror=URL, packages=a,b");
  command->add_option("-l,--label", options->labels, "key=value; may be given again")->check(label());
  commands.run(command, [&session = commands.session, options] {
    v1::CreateImageRequest request;
    request.set_name(options->name.empty() ? options->recipe : options->name);
    add_labels(options->labels, *request.mutable_labels());
    request.mutable_spec()->set_recipe(options->recipe);
    request.mutable_spec()->set_pool(options->pool);
    for (const auto& setting : options->settings) {
      const auto equals = setting.find('=');
      if (equals == std::string::npos) {
        return report(
            Error{ErrorCode::invalid_argument, "\"" + setting + "\" is not a setting", "", "write it as NAME=VALUE"});
      }
      (*request.mutable_spec()->mutable_recipe_options())[setting.substr(0, equals)] = setting.substr(equals + 1);
    }
    return session.run_change("CreateImage", request);
  });
}

struct ImportOptions {
  std::string source;
  std::string name;
  std::string pool;
  std::string sha256;
  std::string kernel_arguments;
  std::vector<std::string> labels;
  bool kernel = false;
  bool uefi = false;
};

Result<v1::Task> create_for_import(Session& session, const ImportOptions& options, bool is_url) {
  v1::CreateImageRequest request;
  request.set_name(options.name);
  add_labels(options.labels, *request.mutable_labels());
  auto& spec = *request.mutable_spec();
  spec.set_pool(options.pool);
  spec.set_sha256(options.sha256);
  spec.set_uefi(options.uefi);
  spec.set_kernel_arguments(options.kernel_arguments);
  if (options.kernel) spec.set_kind(v1::ImageSpec::KERNEL);
  if (is_url) {
    spec.set_url(options.source);
  } else {
    spec.set_upload(true);
  }
  // An upload's task ends once the content was sent and checked: it cannot be waited for before.
  const bool wait = session.options.wait;
  if (!is_url) session.options.wait = false;
  auto task = session.change("CreateImage", request);
  session.options.wait = wait;
  return task;
}

// Tells of a file on its way, unless nothing is to be told.
class Sending {
 public:
  Sending(const Session& session, const std::string& path) {
    if (!session.options.quiet) line_ = std::make_unique<ProgressLine>("sending " + path);
  }
  void show(std::uint64_t done, std::uint64_t total) {
    v1::Progress progress;
    progress.set_measurable(total != 0);
    progress.set_percent(total == 0 ? 0 : static_cast<std::uint32_t>(done * 100 / total));
    if (line_) line_->show(progress);
  }
  void finish(const std::string& word) {
    if (line_) line_->finish(word);
  }

 private:
  std::unique_ptr<ProgressLine> line_;
};

int import_image(Session& session, const ImportOptions& options) {
  const bool is_url = options.source.rfind("https://", 0) == 0;
  if (!is_url && !std::filesystem::is_regular_file(options.source)) {
    return report(Error{ErrorCode::not_found, "cannot import " + options.source, "there is no such file",
                        "give the path of a disk image on this machine, or an https:// address"});
  }
  auto task = create_for_import(session, options, is_url);
  if (!task) return report(task.error());
  if (session.options.dry_run) return 0;
  if (!is_url) {
    Sending sending(session, options.source);
    const auto sent =
        (*session.api())->upload_image(task->target_id(), options.source, [&sending](auto done, auto total) {
          sending.show(done, total);
        });
    if (!sent) {
      sending.finish("failed");
      // Nothing will ever come for it: it would wait for ever.
      v1::ById request;
      request.set_id(task->meta().id());
      (void)(*session.api())->call<v1::Task>("CancelTask", request);
      return report(sent.error());
    }
    sending.finish("done");
    if (session.options.wait) task = session.wait_for_task(task->meta().id());
    if (!task) return report(task.error());
  }
  return session.conclude(*task);
}

void add_import(const Commands& commands, CLI::App& group) {
  auto* command = commands.add(group, "import",
                               "Import a disk image (qcow2, raw, vmdk, vdi, vhdx, vpc) from a file or an https address",
                               "gantry image import disk.vmdk --name old-web\n"
                               "gantry image import https://HOST/disk.qcow2 --sha256 SUM --name base\n"
                               "gantry image import guest.tar --kernel --name tiny --kernel-arguments console=ttyS0");
  auto options = std::make_shared<ImportOptions>();
  command->add_option("source", options->source, "A file, or an https:// address")->required()->type_name("FILE|URL");
  command->add_option("-n,--name", options->name, "Its name: a-z, 0-9 and -")->required();
  command->add_option("--pool", options->pool, "Pool to keep it in")->type_name("POOL");
  command->add_option("--sha256", options->sha256, "What the file must hash to; needed with an address");
  command->add_flag("--uefi", options->uefi, "It boots by UEFI");
  command->add_flag("--kernel", options->kernel, "A tar file of \"kernel\" and \"initramfs\", to be booted directly");
  command->add_option("--kernel-arguments", options->kernel_arguments, "Of a --kernel image");
  command->add_option("-l,--label", options->labels, "key=value; may be given again")->check(label());
  commands.run(command, [&session = commands.session, options] { return import_image(session, *options); });
}

}  // namespace

void add_image_commands(const Commands& commands) {
  auto* group =
      commands.group("image", "Images to make virtual machines from",
                     "gantry image list\ngantry image build debian-12\ngantry image import disk.vmdk --name old-web");
  add_record_commands<v1::Image, v1::ImageList>(commands, *group, "image", "Image", image_table);
  add_build(commands, *group);
  add_import(commands, *group);
}

}  // namespace gantry::app
