// The route table, made by reflection from service Gantry in api/gantry/v1/routes.proto.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "gantry/v1/routes.pb.h"
#include "server/url.h"

namespace gantry::server {

// Whether a plan can be asked for instead of the change.
bool takes_dry_run(const v1::Route& route);
// Whether a repeat with the same Idempotency-Key is answered with the same task.
bool takes_idempotency_key(const v1::Route& route);

struct RouteEntry {
  const google::protobuf::MethodDescriptor* method = nullptr;
  // The method's name: "CreateVm".
  std::string rpc;
  v1::Route route;
  // Of route.path; a parameter is "{name}".
  std::vector<std::string> segments;
};

// Whether If-Match is held against the record that the path names.
bool takes_if_match(const RouteEntry& entry);
// Whether it makes a record, which If-Match cannot hold of yet.
bool makes_record(const RouteEntry& entry);

struct RouteMatch {
  const RouteEntry* entry = nullptr;
  // Field name -> text.
  std::vector<std::pair<std::string, std::string>> parameters;
};

class RouteTable {
 public:
  RouteTable();
  [[nodiscard]] const std::vector<RouteEntry>& entries() const { return entries_; }
  // not_found, or reason method_not_allowed. A literal segment goes before a parameter.
  [[nodiscard]] Result<RouteMatch> find(const std::string& method, const std::vector<std::string>& segments) const;
  // The methods of all routes with that path, for Allow.
  [[nodiscard]] std::string allowed(const std::vector<std::string>& segments) const;

 private:
  std::vector<RouteEntry> entries_;
};

struct DecodedRequest {
  std::unique_ptr<google::protobuf::Message> message;
  bool dry_run = false;
};

// The request message of a route: its path parameters, and its other fields from the query (GET, DELETE) or the body.
// invalid_argument names what is unknown, malformed, repeated or given where it does not belong.
Result<DecodedRequest> decode_request(const RouteMatch& match, const std::vector<QueryParameter>& query,
                                      std::string_view body);

}  // namespace gantry::server
