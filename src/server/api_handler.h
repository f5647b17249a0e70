// The API without HTTP: from a request to its answer.
//
// Threads: the server's loop, where answers come too (perhaps before the call returns), each exactly once unless the
// server stops. No exception leaves it.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "port/manager.h"
#include "server/accounts.h"
#include "server/api_server.h"
#include "server/audit_log.h"
#include "server/directory.h"
#include "server/http.h"
#include "server/routes.h"

namespace gantry::server {

using RequestPtr = std::shared_ptr<const HttpRequest>;

// A request whose route, caller, headers and fields are good.
struct Admitted {
  const RouteEntry* entry = nullptr;
  Caller caller;
  std::shared_ptr<google::protobuf::Message> message;
  port::CallOptions options;
  // Empty when the route needs none.
  Credentials credentials = {};
};

class ApiHandler {
 public:
  using Done = std::function<void(HttpAnswer)>;
  using AdmitDone = std::function<void(Result<Admitted, HttpAnswer>)>;

  // `accounts`, `directory`, `audit` and `join_point` must outlive it.
  ApiHandler(port::Manager& manager, Accounts& accounts, Directory& directory, AuditLog& audit, PosterPtr poster,
             v1::Version about, const std::optional<JoinPoint>& join_point);

  // How a request is to be served; nothing when it has no route (handle() says so).
  [[nodiscard]] std::optional<v1::Route::Kind> kind_of(const HttpRequest& request) const;
  // Looks at the header alone: whether the caller is known; false when the route needs no login. Else the refusal.
  void check_sender(const HttpRequest& request, std::function<void(Result<bool, HttpAnswer>)> done);
  // READ, CHANGE, DIRECT and DOCUMENT routes, and errors for all else.
  void handle(HttpRequest request, Done done);
  // For EVENTS, SOCKET and UPLOAD routes.
  void admit(const RequestPtr& request, AdmitDone done);
  // Asks the manager; the answer comes on the loop.
  void call(const std::string& rpc, const google::protobuf::Message& message, const port::CallOptions& options,
            port::Manager::Answer done);
  // Whether what was admitted would be admitted still: its credentials serve, and its caller may do it.
  void check_again(const Admitted& admitted, std::function<void(bool)> done);
  // Keeps in the audit what became of something that handle() does not answer: a console, an upload.
  void note(const HttpRequest& request, const Admitted& admitted, const HttpAnswer& answer);

 private:
  // Gives the answer on, and keeps it in the audit if it belongs there.
  [[nodiscard]] Done audited(const RequestPtr& request, const Admitted& admitted, const Done& done);
  // Keeps a login that was refused, and only then answers.
  void note_login(const RequestPtr& request, const Admitted& admitted, const HttpAnswer& refusal, const Done& done);
  // Keeps what was refused before it was read.
  HttpAnswer refused(const RequestPtr& request, const RouteEntry& entry, const Caller& caller, const Error& error);
  void dispatch(const RequestPtr& request, const Admitted& admitted, const Done& done);
  void login(const RequestPtr& request, const Admitted& admitted, const Done& done);
  void logout(const RequestPtr& request, const Admitted& admitted, const Done& done);
  // Cancelling takes the role that what is cancelled took.
  void cancel_task(const RequestPtr& request, const Admitted& admitted, const Done& done);
  void ask_manager(const RequestPtr& request, const Admitted& admitted, const Done& done);
  bool dispatch_directory(const RequestPtr& request, const Admitted& admitted, const Done& done);
  bool dispatch_own(const RequestPtr& request, const Admitted& admitted, const Done& done);
  HttpAnswer openapi();

  port::Manager* manager_;
  Accounts* accounts_;
  Directory* directory_;
  AuditLog* audit_;
  PosterPtr poster_;
  v1::Version about_;
  const std::optional<JoinPoint>* join_point_;
  RouteTable routes_;
  // Made when first asked for.
  std::string openapi_;
};

}  // namespace gantry::server
