// The OpenAPI document against every route, and real answers against the document.
#include "server/openapi.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

using nlohmann::json;

// The part of JSON Schema that the document uses. Empty: valid; else what is wrong, where.
class Validator {
 public:
  explicit Validator(const json& document) : document_(document) {}

  std::string check(const json& schema, const json& value, const std::string& where) const {
    if (schema.contains("$ref")) {
      const auto pointer = json::json_pointer(schema.at("$ref").get<std::string>().substr(1));
      if (!document_.contains(pointer)) return where + ": no schema " + schema.at("$ref").get<std::string>();
      return check(document_.at(pointer), value, where);
    }
    if (schema.contains("anyOf")) {
      std::string wrong;
      for (const json& one : schema.at("anyOf")) {
        wrong = check(one, value, where);
        if (wrong.empty()) return {};
      }
      return wrong;
    }
    const std::string type = schema.value("type", "");
    if (type == "object") return check_object(schema, value, where);
    if (type == "array") {
      if (!value.is_array()) return where + ": no array";
      for (const json& item : value) {
        if (auto wrong = check(schema.at("items"), item, where + "[]"); !wrong.empty()) return wrong;
      }
      return {};
    }
    if (type == "boolean") return value.is_boolean() ? "" : where + ": no boolean";
    if (type == "number") return value.is_number() ? "" : where + ": no number";
    if (type == "integer") return value.is_number_integer() && value >= 0 ? "" : where + ": no integer";
    if (type == "string") return check_string(schema, value, where);
    return where + ": a schema without type";
  }

 private:
  std::string check_object(const json& schema, const json& value, const std::string& where) const {
    if (!value.is_object()) return where + ": no object";
    for (const auto& [name, item] : value.items()) {
      const json properties = schema.value("properties", json::object());
      if (properties.contains(name)) {
        if (item.is_null()) continue;
        if (auto wrong = check(properties.at(name), item, where + "." + name); !wrong.empty()) return wrong;
      } else if (schema.contains("additionalProperties") && schema.at("additionalProperties").is_object()) {
        if (auto wrong = check(schema.at("additionalProperties"), item, where + "." + name); !wrong.empty())
          return wrong;
      } else {
        return where + ": unknown " + name;
      }
    }
    return {};
  }
  static std::string check_string(const json& schema, const json& value, const std::string& where) {
    if (!value.is_string()) return where + ": no string";
    if (schema.contains("enum")) {
      const auto& values = schema.at("enum");
      if (std::find(values.begin(), values.end(), value) == values.end()) return where + ": not in the enum";
    }
    const auto text = value.get<std::string>();
    if (schema.contains("pattern") && !std::regex_search(text, std::regex(schema.at("pattern").get<std::string>()))) {
      return where + ": does not match";
    }
    return {};
  }

  const json& document_;
};

std::vector<std::string> references_in(const json& value) {
  std::vector<std::string> found;
  if (value.is_object() && value.contains("$ref")) found.push_back(value.at("$ref"));
  if (value.is_structured()) {
    for (const json& item : value) {
      for (std::string& reference : references_in(item)) found.push_back(std::move(reference));
    }
  }
  return found;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

TEST(OpenApi, HasEveryRouteAndEverySchemaItNames) {
  const RouteTable routes;
  const json document = json::parse(make_openapi(routes, "1"));
  EXPECT_EQ(document.at("openapi"), "3.1.0");
  std::size_t operations = 0;
  for (const auto& [path, methods] : document.at("paths").items()) operations += methods.size();
  EXPECT_EQ(operations, routes.entries().size());
  for (const RouteEntry& entry : routes.entries()) {
    const json& operation = document.at("paths").at(entry.route.path()).at(lower(entry.route.method()));
    EXPECT_EQ(operation.at("operationId"), entry.rpc);
    EXPECT_EQ(operation.contains("security"), entry.route.anonymous()) << entry.rpc;
    std::set<std::string> parameters;
    for (const json& parameter : operation.at("parameters")) parameters.insert(parameter.at("name"));
    const bool change = entry.route.kind() == v1::Route::CHANGE;
    EXPECT_EQ(parameters.contains("dry_run"), takes_dry_run(entry.route)) << entry.rpc;
    for (const char* name : {"If-Match", "Idempotency-Key"}) {
      EXPECT_EQ(parameters.contains(name), change) << entry.rpc;
    }
    EXPECT_EQ(parameters.contains("Last-Event-ID"), entry.route.kind() == v1::Route::EVENTS);
    EXPECT_TRUE(operation.at("responses").contains("default")) << entry.rpc;
    // Every field of the request stands somewhere.
    const auto* type = entry.method->input_type();
    for (int i = 0; i < type->field_count(); ++i) {
      const auto& field = *type->field(i);
      EXPECT_TRUE(parameters.contains(field.name()) || parameters.contains(field.json_name()) ||
                  operation.contains("requestBody"))
          << entry.rpc << " " << field.name();
    }
  }
  for (const std::string& reference : references_in(document)) {
    EXPECT_TRUE(document.contains(json::json_pointer(reference.substr(1)))) << reference;
  }
}

TEST(OpenApi, DescribesTheAnswersOfTheServer) {
  TestServer server;
  const Reply served = server.ask("GET", "/api/v1/openapi.json", {}, {}, "");
  ASSERT_EQ(served.status, 200);
  const json document = json::parse(served.body);
  const Validator validator(document);
  std::size_t checked = 0;
  const RouteTable routes;
  for (const RouteEntry& entry : routes.entries()) {
    const auto kind = entry.route.kind();
    const bool by_manager = kind == v1::Route::READ || kind == v1::Route::CHANGE || entry.rpc == "CancelTask";
    if (!by_manager) continue;
    std::string target = entry.route.path();
    if (const std::size_t at = target.find("{id}"); at != std::string::npos) target.replace(at, 4, "thing");
    const Reply reply = server.ask(entry.route.method(), target);
    const json& responses = document.at("paths").at(entry.route.path()).at(lower(entry.route.method())).at("responses");
    ASSERT_TRUE(responses.contains(std::to_string(reply.status))) << entry.rpc << " " << reply.status << reply.body;
    const json& schema = responses.at(std::to_string(reply.status)).at("content").at("application/json").at("schema");
    EXPECT_EQ(validator.check(schema, json::parse(reply.body), entry.rpc), "") << reply.body;
    ++checked;
  }
  EXPECT_GT(checked, 30U);
  const Reply error = server.ask("GET", "/nothing");
  EXPECT_EQ(validator.check({{"$ref", "#/components/schemas/ErrorAnswer"}}, json::parse(error.body), "error"), "");
}

}  // namespace
}  // namespace gantry::server::testing
