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
    EXPECT_EQ(parameters.contains("dry_run"), takes_dry_run(entry.route)) << entry.rpc;
    const bool change = entry.route.kind() == v1::Route::CHANGE;
    EXPECT_EQ(parameters.contains("Idempotency-Key"), change) << entry.rpc;
    EXPECT_EQ(parameters.contains("If-Match"),
              (change && parameters.contains("id")) || entry.rpc == "CancelTask" || entry.rpc == "UploadImage")
        << entry.rpc;
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

json served_document(const TestServer& server) {
  const Reply served = server.ask("GET", "/api/v1/openapi.json", {}, {}, "");
  EXPECT_EQ(served.status, 200);
  return json::parse(served.body);
}

std::string with_id(std::string path, const std::string& id) {
  if (const std::size_t at = path.find("{id}"); at != std::string::npos) path.replace(at, 4, id);
  return path;
}

// The status of an answer that may go on without end, as events do.
std::string status_of(const TestServer& server, const std::string& method, const std::string& target) {
  Client client(server.started.port);
  client.send(method + " " + target + " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nAuthorization: Bearer " +
              kLocalToken + "\r\n\r\n");
  return client.read_until("\r\n").substr(9, 3);
}

// Both ways: the server knows what the document has, and nothing else at those addresses.
TEST(OpenApi, HasExactlyWhatTheServerKnows) {
  TestServer server;
  const json document = served_document(server);
  EXPECT_TRUE(document.at("paths").contains("/api/v1/openapi.json"));
  for (const auto& [path, methods] : document.at("paths").items()) {
    const std::string target = with_id(path, "thing");
    for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE"}) {
      const std::size_t calls = server.manager.calls().size();
      const std::string status = status_of(server, method, target);
      if (!methods.contains(lower(method))) {
        EXPECT_EQ(status, "405") << method << " " << path;
        continue;
      }
      // There may be no such thing; there is such a route.
      if (status == "404") {
        EXPECT_EQ(json::parse(server.ask(method, target).body).at("code"), "not_found") << path;
      }
      EXPECT_NE(status, "405") << method << " " << path;
      // It is the operation that the document names.
      const auto made = server.manager.calls();
      if (made.size() > calls && path.find("/content") == std::string::npos) {
        EXPECT_EQ(made.back().rpc, methods.at(lower(method)).at("operationId"));
      }
    }
    EXPECT_EQ(status_of(server, "GET", target + "/nothing/here"), "404") << path;
  }
  const RouteTable routes;
  for (const RouteEntry& entry : routes.entries()) {
    EXPECT_TRUE(document.at("paths").at(entry.route.path()).contains(lower(entry.route.method()))) << entry.rpc;
  }
}

// Whether what the server answers to a route is what the document says.
class Answers {
 public:
  explicit Answers(const TestServer& server) : server_(server), document_(served_document(server)) {}

  Reply check(const std::string& rpc, const std::string& body = {}, const std::string& token = kLocalToken) {
    const RouteTable routes;
    const auto found = std::find_if(routes.entries().begin(), routes.entries().end(),
                                    [&](const RouteEntry& entry) { return entry.rpc == rpc; });
    const v1::Route& route = found->route;
    const std::string target = with_id(route.path(), "thing");
    if (takes_dry_run(route)) check_reply(*found, server_.ask(route.method(), target + "?dry_run=1", body, {}, token));
    Reply reply = server_.ask(route.method(), target, body, {}, token);
    check_reply(*found, reply);
    checked.insert(rpc);
    return reply;
  }

  std::set<std::string> checked;

 private:
  void check_reply(const RouteEntry& entry, const Reply& reply) const {
    const std::string status = std::to_string(reply.status);
    const json& operation = document_.at("paths").at(entry.route.path()).at(lower(entry.route.method()));
    ASSERT_TRUE(operation.at("responses").contains(status)) << entry.rpc << " " << status << reply.body;
    const json& response = operation.at("responses").at(status);
    if (!response.contains("content")) {
      EXPECT_EQ(reply.body, "") << entry.rpc;
      return;
    }
    const json& schema = response.at("content").at("application/json").at("schema");
    EXPECT_EQ(Validator(document_).check(schema, json::parse(reply.body), entry.rpc), "") << reply.body;
  }

  const TestServer& server_;
  const json document_;
};

TEST(OpenApi, DescribesTheAnswersOfTheServer) {
  TestServer server(listen_for_hosts);
  keep_host_tokens(server.manager);
  Answers answers(server);
  const RouteTable routes;
  std::set<std::string> streams;
  for (const RouteEntry& entry : routes.entries()) {
    const auto kind = entry.route.kind();
    if (kind == v1::Route::EVENTS || kind == v1::Route::SOCKET) streams.insert(entry.rpc);
    if (kind == v1::Route::READ || kind == v1::Route::CHANGE || entry.rpc == "CancelTask") answers.check(entry.rpc);
  }
  const std::string password = server.started.first_password;
  const Reply login = answers.check("Login", R"({"user":"admin","password":")" + password + R"("})", "");
  ASSERT_EQ(login.status, 200) << login.body;
  const std::string session = json::parse(login.body).at("token");
  EXPECT_EQ(answers.check("GetCurrentSession", {}, session).status, 200);
  EXPECT_EQ(answers.check("CreateToken", R"({"name":"thing"})", session).status, 200);
  EXPECT_EQ(answers.check("ListTokens", {}, session).status, 200);
  EXPECT_EQ(answers.check("DeleteToken", {}, session).status, 204);
  const std::string change = R"({"currentPassword":")" + password + R"(","newPassword":"another password"})";
  EXPECT_EQ(answers.check("ChangePassword", change, session).status, 204);
  EXPECT_EQ(answers.check("CreateHostToken", "{}").status, 200);
  EXPECT_EQ(answers.check("UploadImage", "content").status, 200);
  EXPECT_EQ(answers.check("Logout", {}, session).status, 204);
  // The document is not in itself; what streams has tests of its own.
  for (const RouteEntry& entry : routes.entries()) {
    if (entry.route.kind() == v1::Route::DOCUMENT) continue;
    EXPECT_NE(answers.checked.contains(entry.rpc), streams.contains(entry.rpc)) << entry.rpc;
  }
  const json document = served_document(server);
  const Reply error = server.ask("GET", "/nothing");
  EXPECT_EQ(Validator(document).check({{"$ref", "#/components/schemas/ErrorAnswer"}}, json::parse(error.body), "error"),
            "");
}

}  // namespace
}  // namespace gantry::server::testing
