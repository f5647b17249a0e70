#include "server/audit_note.h"

#include <nlohmann/json.hpp>

#include "model/printable_text.h"

namespace gantry::server {
namespace {

constexpr std::size_t kTextBytesMax = 128;
constexpr std::string_view kTasks = "/api/v1/tasks/";

std::string text_field(const google::protobuf::Message& message, const char* name) {
  const auto* field = message.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->is_repeated() ||
      field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_STRING) {
    return {};
  }
  return model::printable_text(message.GetReflection()->GetString(message, field), kTextBytesMax);
}

// A token in the place of a name: no name has "_".
bool looks_secret(const std::string& text) { return text.size() > 2 && text[0] == 'g' && text[2] == '_'; }

// Which record it is about: the one in the path, the name of what is to be made, or whose password is to be another.
std::string target_of(const google::protobuf::Message& message) {
  for (const char* field : {"id", "name", "user"}) {
    if (std::string text = text_field(message, field); !text.empty()) return looks_secret(text) ? "" : text;
  }
  return {};
}

std::string code_of(const HttpAnswer& answer) {
  if (answer.status < 400) return {};
  const auto body = nlohmann::json::parse(answer.body, nullptr, false);
  return body.is_object() ? body.value("code", "") : "";
}

std::string task_of(const HttpAnswer& answer) {
  for (const auto& [name, value] : answer.headers) {
    if (name == "Location" && value.rfind(kTasks, 0) == 0) return value.substr(kTasks.size());
  }
  return {};
}

}  // namespace

bool is_kept(const v1::Route& route, bool dry_run) {
  return (route.method() != "GET" || route.kind() == v1::Route::SOCKET) && !dry_run;
}

v1::AuditEntry note_of(const RouteEntry& entry, const Caller& caller, const HttpRequest& request,
                       const google::protobuf::Message* message, const HttpAnswer& answer) {
  v1::AuditEntry note;
  note.set_user(caller.user);
  note.set_kind(caller.kind);
  note.set_credential_id(caller.credential_id);
  note.set_credential_name(caller.credential_name);
  note.set_address(request.peer);
  note.set_action(entry.rpc);
  if (message != nullptr) note.set_target(target_of(*message));
  if (entry.rpc == "Login" && answer.status < 400) note.set_user(note.target());
  note.set_status(answer.status);
  note.set_code(code_of(answer));
  note.set_task_id(task_of(answer));
  return note;
}

}  // namespace gantry::server
