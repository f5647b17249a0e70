#include "server/openapi.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "server/credentials.h"

namespace gantry::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::ordered_json;

constexpr const char* kDescription =
    "Every change is answered with a task (202) or, with dry_run=true, with its plan (200). Errors are ErrorAnswer "
    "objects: 400 the request makes no sense, 401 no valid bearer token, 403 not allowed, 404 no such thing, 405 and "
    "413 and 415 and 431 as in HTTP, 409 the state does not allow it, 412 the record changed since If-Match or is only "
    "to be made, 422 this "
    "machine or that data does not permit it, 429 too many attempts, 500 a defect of Gantry, 503 try again, 504 took "
    "too long, 507 no space left. If-Match and Idempotency-Key are refused (400) where they are not among the "
    "parameters. A name serves wherever a path has {id}.";

// "VmSpec.Power" for an enum inside a message.
template <class D>
std::string name_of(const D& descriptor) {
  return descriptor.full_name().substr(descriptor.file()->package().size() + 1);
}

// As protobuf's JSON has them.
Json not_finite() {
  return Json::object({{"type", "string"}, {"enum", Json::array({"NaN", "Infinity", "-Infinity"})}});
}

Json reference(const std::string& name) { return {{"$ref", "#/components/schemas/" + name}}; }

class Schemas {
 public:
  // A schema that refers to the message's, which is made if it is not there.
  Json of(const Descriptor& type) {
    if (type.full_name() == "google.protobuf.Timestamp") return {{"type", "string"}, {"format", "date-time"}};
    // "cpus,stopTimeoutSeconds"
    if (type.full_name() == "google.protobuf.FieldMask") return {{"type", "string"}};
    const std::string name = name_of(type);
    if (!made_.contains(name)) {
      made_[name] = nullptr;  // ends the recursion of types that hold themselves
      made_[name] = describe(type);
    }
    return reference(name);
  }

  Json of_scalar(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL: return {{"type", "boolean"}};
      case FieldDescriptor::CPPTYPE_INT32: return {{"type", "integer"}, {"format", "int32"}};
      case FieldDescriptor::CPPTYPE_UINT32: return {{"type", "integer"}, {"minimum", 0}, {"maximum", 4294967295U}};
      case FieldDescriptor::CPPTYPE_INT64: return {{"type", "string"}, {"pattern", "^-?[0-9]+$"}};
      case FieldDescriptor::CPPTYPE_UINT64: return {{"type", "string"}, {"pattern", "^[0-9]+$"}};
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT:
        // What was not measured, say.
        return Json::object({{"anyOf", Json::array({Json::object({{"type", "number"}}), not_finite()})}});
      case FieldDescriptor::CPPTYPE_ENUM: return of(*field.enum_type());
      case FieldDescriptor::CPPTYPE_MESSAGE: return of(*field.message_type());
      case FieldDescriptor::CPPTYPE_STRING: break;
    }
    return {{"type", "string"}};
  }

  [[nodiscard]] Json all() const {
    Json sorted = Json::object();
    std::vector<std::string> names;
    for (const auto& [name, schema] : made_.items()) names.push_back(name);
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) sorted[name] = made_.at(name);
    return sorted;
  }

 private:
  Json of(const EnumDescriptor& type) {
    Json values = Json::array();
    for (int i = 0; i < type.value_count(); ++i) values.push_back(type.value(i)->name());
    const std::string name = name_of(type);
    made_[name] = {{"type", "string"}, {"enum", values}};
    return reference(name);
  }

  Json describe(const Descriptor& type) {
    Json properties = Json::object();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      if (field.is_map()) {
        properties[field.json_name()] = {{"type", "object"},
                                         {"additionalProperties", of_scalar(*field.message_type()->field(1))}};
      } else if (field.is_repeated()) {
        properties[field.json_name()] = {{"type", "array"}, {"items", of_scalar(field)}};
      } else {
        properties[field.json_name()] = of_scalar(field);
      }
    }
    Json schema = {{"type", "object"}, {"properties", properties}};
    // What is unknown in a request is refused; answers may grow.
    if (type.name().size() > 7 && type.name().substr(type.name().size() - 7) == "Request") {
      schema["additionalProperties"] = false;
    }
    return schema;
  }

  Json made_ = Json::object();
};

bool is_in_path(const RouteEntry& entry, const FieldDescriptor& field) {
  const std::string parameter = "{" + field.name() + "}";
  return std::find(entry.segments.begin(), entry.segments.end(), parameter) != entry.segments.end();
}

Json header_parameter(const char* name, const char* description) {
  return {{"name", name}, {"in", "header"}, {"description", description}, {"schema", {{"type", "string"}}}};
}

void add_header_parameters(const RouteEntry& entry, Json& parameters) {
  if (takes_dry_run(entry.route)) {
    parameters.push_back({{"name", "dry_run"},
                          {"in", "query"},
                          {"description", "Only answer the plan; change nothing."},
                          {"schema", {{"type", "boolean"}, {"default", false}}}});
  }
  if (takes_if_match(entry)) {
    parameters.push_back(header_parameter("If-Match", "The ETag the record must still have; else 412."));
  }
  if (takes_idempotency_key(entry.route)) {
    parameters.push_back(
        header_parameter("Idempotency-Key", "A repeat with the same key and request gets the same task again."));
  }
  switch (entry.route.kind()) {
    case v1::Route::READ:
      parameters.push_back(header_parameter("If-None-Match", "Answers 304 when the ETag is still the same."));
      break;
    case v1::Route::EVENTS:
      parameters.push_back(header_parameter("Last-Event-ID", "Resumes after the event with that id."));
      break;
    default: break;
  }
}

Json parameters_of(const RouteEntry& entry, Schemas& schemas) {
  Json parameters = Json::array();
  const Descriptor& type = *entry.method->input_type();
  const bool in_query = entry.route.method() == "GET" || entry.route.method() == "DELETE";
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (is_in_path(entry, field)) {
      parameters.push_back(
          {{"name", field.name()}, {"in", "path"}, {"required", true}, {"schema", schemas.of_scalar(field)}});
    } else if (in_query) {
      parameters.push_back({{"name", field.json_name()}, {"in", "query"}, {"schema", schemas.of_scalar(field)}});
    }
  }
  add_header_parameters(entry, parameters);
  return parameters;
}

Json content(const std::string& media_type, const Json& schema) { return {{media_type, {{"schema", schema}}}}; }

// What a dry run of a DIRECT route answers, beside what the route does.
void add_plan(const Descriptor& type, Schemas& schemas, Json& responses) {
  const Json plan = schemas.of(*v1::Accepted::descriptor());
  if (type.field_count() == 0) {
    responses["200"] = {{"description", "The plan (dry_run)"}, {"content", content("application/json", plan)}};
  } else {
    const Json either = {{"anyOf", {schemas.of(type), plan}}};
    responses["200"] = {{"description", "Done, or the plan (dry_run)"},
                        {"content", content("application/json", either)}};
  }
}

Json responses_of(const RouteEntry& entry, Schemas& schemas) {
  const Descriptor& type = *entry.method->output_type();
  const Json body = content("application/json", schemas.of(type));
  Json responses = Json::object();
  switch (entry.route.kind()) {
    case v1::Route::CHANGE:
      responses["200"] = {{"description", "The plan (dry_run)"}, {"content", body}};
      responses["202"] = {{"description", "Accepted: the task, also at Location"},
                          {"headers", {{"Location", {{"description", "The task"}, {"schema", {{"type", "string"}}}}}}},
                          {"content", body}};
      break;
    case v1::Route::EVENTS:
      responses["200"] = {{"description", "Events named change or resync; the data is a ChangeEvent"},
                          {"content", content("text/event-stream", schemas.of(type))}};
      break;
    case v1::Route::DOCUMENT:
      responses["200"] = {{"description", entry.route.summary()},
                          {"content", content(entry.route.content_type(), Json::object())}};
      break;
    case v1::Route::SOCKET:
      responses["101"] = {{"description", "A WebSocket; browsers give the token as subprotocol gantry.bearer.TOKEN"}};
      break;
    default:
      if (type.field_count() == 0) {
        responses["204"] = {{"description", "Done"}};
      } else {
        responses["200"] = {{"description", "Done"}, {"content", body}};
      }
      if (takes_dry_run(entry.route)) add_plan(type, schemas, responses);
  }
  if (entry.route.kind() == v1::Route::READ) responses["304"] = {{"description", "As If-None-Match says"}};
  responses["default"] = {{"$ref", "#/components/responses/Error"}};
  return responses;
}

// What it is about: "vms" of "/api/v1/vms/{id}".
const std::string& tag_of(const RouteEntry& entry) { return entry.segments.at(entry.segments.size() > 2 ? 2 : 0); }

bool has_body(const RouteEntry& entry) {
  if (entry.route.method() == "GET" || entry.route.method() == "DELETE") return false;
  const Descriptor& type = *entry.method->input_type();
  for (int i = 0; i < type.field_count(); ++i) {
    if (!is_in_path(entry, *type.field(i))) return true;
  }
  return false;
}

Json operation_of(const RouteEntry& entry, Schemas& schemas) {
  Json operation = {{"operationId", entry.rpc},
                    {"summary", entry.route.summary()},
                    {"tags", {tag_of(entry)}},
                    {"parameters", parameters_of(entry, schemas)}};
  if (entry.route.kind() == v1::Route::UPLOAD) {
    operation["requestBody"] = {{"required", true}, {"content", content("application/octet-stream", Json::object())}};
  } else if (has_body(entry)) {
    operation["requestBody"] = {{"content", content("application/json", schemas.of(*entry.method->input_type()))}};
  }
  operation["responses"] = responses_of(entry, schemas);
  if (entry.route.anonymous()) {
    operation["security"] = Json::array();
  } else {
    operation["x-gantry-role"] = entry.route.own() ? "own" : v1::Role_Name(entry.route.role());
  }
  return operation;
}

}  // namespace

std::string make_openapi(const RouteTable& routes, const std::string& version) {
  Schemas schemas;
  std::set<std::string> paths_in_order;
  for (const RouteEntry& entry : routes.entries()) paths_in_order.insert(entry.route.path());
  Json paths = Json::object();
  for (const std::string& path : paths_in_order) paths[path] = Json::object();
  for (const RouteEntry& entry : routes.entries()) {
    std::string method = entry.route.method();
    std::transform(method.begin(), method.end(), method.begin(),
                   [](char c) { return static_cast<char>(c - 'A' + 'a'); });
    paths[entry.route.path()][method] = operation_of(entry, schemas);
  }
  const Json error = {{"description", "What failed, why, and what to do next"},
                      {"content", content("application/json", schemas.of(*v1::ErrorAnswer::descriptor()))}};
  const Json document = {
      {"openapi", "3.1.0"},
      {"info", {{"title", "Gantry"}, {"version", version}, {"description", kDescription}}},
      {"paths", paths},
      {"components",
       {{"schemas", schemas.all()},
        {"responses", {{"Error", error}}},
        {"securitySchemes",
         {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
          {"cookie", {{"type", "apiKey"}, {"in", "cookie"}, {"name", kSessionCookie}}}}}}},
      {"security", Json::array({{{"bearer", Json::array()}}, {{"cookie", Json::array()}}})},
  };
  return document.dump() + "\n";
}

}  // namespace gantry::server
