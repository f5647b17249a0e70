#include "qemu/guest_record.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace gantry::qemu {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<GuestRecord::Phase, const char*>, 5> kPhases{
    {{GuestRecord::Phase::starting, "starting"},
     {GuestRecord::Phase::receiving, "receiving"},
     {GuestRecord::Phase::running, "running"},
     {GuestRecord::Phase::resetting, "resetting"},
     {GuestRecord::Phase::ended, "ended"}}};

constexpr std::array<std::pair<DiskCopyNote::Phase, const char*>, 3> kCopyPhases{
    {{DiskCopyNote::Phase::none, "none"},
     {DiskCopyNote::Phase::copying, "copying"},
     {DiskCopyNote::Phase::switching, "switching"}}};

const char* name_of(DiskCopyNote::Phase phase) {
  for (const auto& [value, name] : kCopyPhases) {
    if (value == phase) return name;
  }
  return "";
}

const char* name_of(GuestRecord::Phase phase) {
  for (const auto& [value, name] : kPhases) {
    if (value == phase) return name;
  }
  return "";
}

tl::unexpected<Error> corrupt(std::string cause) {
  return fail(ErrorCode::corrupt, "a guest's record on disk is damaged", std::move(cause));
}

Json exit_json(const v1::VmExit& exit) {
  return {{"reason", v1::VmExit::Reason_Name(exit.reason())},
          {"boot_id", exit.boot_id()},
          {"last_words", exit.last_words()},
          {"at_seconds", exit.at().seconds()}};
}

// Throws what nlohmann throws on other types than expected.
v1::VmExit exit_from(const Json& json) {
  v1::VmExit exit;
  v1::VmExit::Reason reason = v1::VmExit::NONE;
  if (v1::VmExit::Reason_Parse(json.value("reason", "NONE"), &reason)) exit.set_reason(reason);
  exit.set_boot_id(json.value("boot_id", ""));
  exit.set_last_words(json.value("last_words", ""));
  if (const auto seconds = json.value("at_seconds", std::int64_t{0}); seconds != 0) {
    exit.mutable_at()->set_seconds(seconds);
  }
  return exit;
}

Json copy_json(const DiskCopyNote& note) {
  return {{"phase", name_of(note.phase)}, {"id", note.id}, {"index", note.index}, {"from", note.from}, {"to", note.to}};
}

// Throws likewise.
DiskCopyNote copy_from(const Json& json) {
  DiskCopyNote note;
  const std::string phase = json.at("phase");
  for (const auto& [value, name] : kCopyPhases) {
    if (phase == name) note.phase = value;
  }
  note.id = json.at("id");
  note.index = json.at("index");
  note.from = json.at("from");
  note.to = json.at("to");
  return note;
}

GuestRecord record_from(const Json& json) {
  GuestRecord record;
  record.vm_id = json.value("vm_id", "");
  record.boot_id = json.value("boot_id", "");
  const std::string phase = json.value("phase", "");
  for (const auto& [value, name] : kPhases) {
    if (phase == name) record.phase = value;
  }
  record.reset_id = json.value("reset_id", "");
  record.reset_wanted = json.value("reset_wanted", "");
  record.resume_after_reset = json.value("resume_after_reset", false);
  record.reset_given_up = json.value("reset_given_up", false);
  record.pid = json.value("pid", pid_t{0});
  record.pid_start_ticks = json.value("pid_start_ticks", std::uint64_t{0});
  record.machine_boot_id = json.value("machine_boot_id", "");
  record.forced = json.value("forced", false);
  record.accelerator = json.value("accelerator", "");
  record.started_unix_ms = json.value("started_unix_ms", std::int64_t{0});
  record.cpus = json.value("cpus", 0U);
  record.memory_mib = json.value("memory_mib", 0U);
  record.serves = json.value("serves", false);
  if (json.contains("exit")) record.exit = exit_from(json.at("exit"));
  if (json.contains("disk_copy")) record.disk_copy = copy_from(json.at("disk_copy"));
  return record;
}

}  // namespace

std::string to_text(const GuestRecord& record) {
  Json json = {{"version", 1},
               {"vm_id", record.vm_id},
               {"boot_id", record.boot_id},
               {"phase", name_of(record.phase)},
               {"reset_id", record.reset_id},
               {"reset_wanted", record.reset_wanted},
               {"resume_after_reset", record.resume_after_reset},
               {"reset_given_up", record.reset_given_up},
               {"pid", record.pid},
               {"pid_start_ticks", record.pid_start_ticks},
               {"machine_boot_id", record.machine_boot_id},
               {"forced", record.forced},
               {"accelerator", record.accelerator},
               {"started_unix_ms", record.started_unix_ms},
               {"cpus", record.cpus},
               {"memory_mib", record.memory_mib},
               {"serves", record.serves}};
  if (record.exit.reason() != v1::VmExit::NONE) json["exit"] = exit_json(record.exit);
  if (record.disk_copy.phase != DiskCopyNote::Phase::none) json["disk_copy"] = copy_json(record.disk_copy);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<GuestRecord> parse_guest_record(std::string_view text) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return corrupt("it is no JSON object");
  try {
    const GuestRecord record = record_from(json);
    if (json.value("version", 0) != 1) return corrupt("its version is unknown");
    if (record.vm_id.empty() || record.boot_id.empty()) return corrupt("it names no guest");
    if (json.value("phase", "") != name_of(record.phase)) return corrupt("its phase is unknown");
    const bool copies = record.disk_copy.phase != DiskCopyNote::Phase::none;
    if (json.contains("disk_copy") != copies) return corrupt("the phase of its disk's copy is unknown");
    return record;
  } catch (const Json::exception& error) {
    return corrupt(error.what());
  }
}

}  // namespace gantry::qemu
