#include "server/change_event.h"

#include "model/conceal.h"
#include "server/json.h"

namespace gantry::server {
namespace {

using google::protobuf::FieldDescriptor;

const FieldDescriptor* record_field(const std::string& kind) {
  const auto* field = v1::ChangeEvent::descriptor()->FindFieldByName(kind);
  return field != nullptr && field->containing_oneof() != nullptr ? field : nullptr;
}

bool read_record(const port::Entry& entry, const FieldDescriptor& field, v1::ChangeEvent& event) {
  auto* record = event.GetReflection()->MutableMessage(&event, &field);
  if (!record->ParseFromString(entry.value)) return false;
  const auto* meta_field = record->GetDescriptor()->FindFieldByName("meta");
  auto* meta = dynamic_cast<v1::Meta*>(record->GetReflection()->MutableMessage(record, meta_field));
  meta->set_revision(entry.modified);
  return true;
}

}  // namespace

const std::set<std::string>& public_kinds() {
  static const std::set<std::string> kinds = [] {
    std::set<std::string> names;
    const auto* record = v1::ChangeEvent::descriptor()->FindOneofByName("record");
    for (int i = 0; i < record->field_count(); ++i) names.insert(record->field(i)->name());
    return names;
  }();
  return kinds;
}

std::string kind_of(const port::Change& change) {
  const std::string& key = change.entry.key;
  const std::size_t slash = key.find('/', 1);
  return key.empty() || key[0] != '/' || slash == std::string::npos ? std::string() : key.substr(1, slash - 1);
}

std::optional<v1::ChangeEvent> to_change_event(const port::Change& change) {
  const std::string kind = kind_of(change);
  const FieldDescriptor* field = record_field(kind);
  if (field == nullptr) return std::nullopt;
  v1::ChangeEvent event;
  event.set_revision(change.entry.modified);
  event.set_kind(kind);
  event.set_id(change.entry.key.substr(kind.size() + 2));
  event.set_deleted(change.kind == port::Write::Kind::erase);
  if (!event.deleted() && !read_record(change.entry, *field, event)) return std::nullopt;
  if (event.has_vm()) model::conceal(*event.mutable_vm());
  if (event.has_pool()) model::conceal(*event.mutable_pool());
  return event;
}

Result<std::set<std::string>> parse_kinds(const std::string& text) {
  if (text.empty()) return public_kinds();
  std::set<std::string> kinds;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string kind = text.substr(begin, end - begin);
    if (!public_kinds().contains(kind)) {
      std::string known;
      for (const std::string& one : public_kinds()) known += (known.empty() ? "" : ", ") + one;
      return fail(ErrorCode::invalid_argument, "the parameter \"kinds\" cannot be used",
                  "there is no kind \"" + kind + "\"", "choose among " + known);
    }
    kinds.insert(kind);
    begin = end + 1;
  }
  return kinds;
}

std::string event_text(const std::string& name, const google::protobuf::Message& data) {
  // write_json ends with a newline and has no other.
  return "event: " + name + "\ndata: " + write_json(data);
}

}  // namespace gantry::server
