#include "server/api_handler.h"

#include <exception>
#include <utility>

#include "server/audit_note.h"
#include "server/host_tokens.h"
#include "server/json.h"
#include "server/openapi.h"
#include "server/request_headers.h"

namespace gantry::server {
namespace {

using google::protobuf::Message;

Error internal_error(const std::exception& error) {
  return Error{ErrorCode::internal, "the request could not be served", error.what(), "please report this"};
}

// meta.revision of a record, or a list's own revision; 0: the message has none.
std::uint64_t revision_of(const Message& message) {
  const auto* type = message.GetDescriptor();
  const auto* revision = type->FindFieldByName("revision");
  if (revision != nullptr && type != v1::ChangeEvent::descriptor()) {
    return message.GetReflection()->GetUInt64(message, revision);
  }
  const auto* meta = type->FindFieldByName("meta");
  if (meta == nullptr || meta->message_type() != v1::Meta::descriptor()) return 0;
  return dynamic_cast<const v1::Meta&>(message.GetReflection()->GetMessage(message, meta)).revision();
}

HttpAnswer answer_message(const HttpRequest& request, const Admitted& admitted, const Message& message) {
  HttpAnswer answer;
  answer.headers.emplace_back("Cache-Control", "private, no-cache");
  if (message.GetDescriptor() == v1::Empty::descriptor()) {
    answer.status = 204;
    return answer;
  }
  if (message.GetDescriptor() == v1::Document::descriptor()) {
    answer.content_type = admitted.entry->route.content_type();
    answer.body = dynamic_cast<const v1::Document&>(message).content();
    return answer;
  }
  if (admitted.entry->route.kind() == v1::Route::CHANGE && !admitted.options.dry_run) {
    answer.status = 202;
    const auto& accepted = dynamic_cast<const v1::Accepted&>(message);
    answer.headers.emplace_back("Location", "/api/v1/tasks/" + percent_encode(accepted.task().meta().id()));
  }
  if (const std::uint64_t revision = revision_of(message); revision != 0) {
    answer.headers.emplace_back("ETag", "\"" + std::to_string(revision) + "\"");
    const bool read = admitted.entry->route.kind() == v1::Route::READ;
    if (read && names_revision(request.header("if-none-match"), revision)) {
      answer.status = 304;
      return answer;
    }
  }
  answer.body = write_json(message);
  return answer;
}

// What nobody is to keep.
HttpAnswer answer_secret(const HttpRequest& request, const Admitted& admitted, const Message& message) {
  HttpAnswer answer = answer_message(request, admitted, message);
  for (auto& [name, value] : answer.headers) {
    if (name == "Cache-Control") value = "no-store";
  }
  return answer;
}

// A dry run is answered with a plan, whatever the route.
const google::protobuf::Descriptor* answer_type(const Admitted& admitted) {
  return admitted.options.dry_run ? v1::Accepted::descriptor() : admitted.entry->method->output_type();
}

const Message& as_message(const Message& message) { return message; }
const Message& as_message(const Accounts::MessagePtr& message) { return *message; }

HttpAnswer answer_missing_route(const RouteTable& routes, const Target& target, const Error& error) {
  HttpAnswer answer = answer_for(error);
  if (answer.status == 405) answer.headers.emplace_back("Allow", routes.allowed(target.segments));
  return answer;
}

// What a client relies on and nobody would look at is refused.
Result<void> check_conditions(const HttpRequest& request, const RouteEntry& entry) {
  const auto refuse = [&entry](const std::string& name, const std::string& next_step) {
    return fail(ErrorCode::invalid_argument, "the header " + name + " cannot be used",
                entry.route.method() + " " + entry.route.path() + " does not look at it", next_step, "unused_header");
  };
  if (!request.header("if-match").empty() && !takes_if_match(entry)) {
    if (!makes_record(entry)) return refuse("If-Match", "leave it out");
    return fail(ErrorCode::conflict, "If-Match cannot hold of what is to be made", "it has no ETag yet",
                "leave If-Match out; names are unique, so nothing that is there is written over", "nothing_to_match");
  }
  const bool harmless = entry.route.method() == "GET";
  if (!request.header("idempotency-key").empty() && !takes_idempotency_key(entry.route) && !harmless) {
    return refuse("Idempotency-Key", "leave it out; look what is there before you repeat this request");
  }
  return {};
}

Result<port::CallOptions> options_of(const HttpRequest& request, const Caller& caller, const DecodedRequest& decoded) {
  port::CallOptions options;
  options.actor = caller.user;
  options.dry_run = decoded.dry_run;
  auto if_match = parse_if_match(request.header("if-match"));
  if (!if_match) return fail(if_match.error());
  options.if_match = *if_match;
  auto key = parse_idempotency_key(request.header("idempotency-key"));
  if (!key) return fail(key.error());
  options.idempotency_key = *key;
  return options;
}

Result<Admitted> decode(const HttpRequest& request, const Target& target, const RouteMatch& match,
                        const Caller& caller) {
  if (match.entry->route.kind() != v1::Route::UPLOAD) {
    if (auto checked = check_content_type(request); !checked) return fail(checked.error());
  }
  if (auto checked = check_conditions(request, *match.entry); !checked) return fail(checked.error());
  auto decoded = decode_request(match, target.query, request.body);
  if (!decoded) return fail(decoded.error());
  auto options = options_of(request, caller, *decoded);
  if (!options) return fail(options.error());
  return Admitted{match.entry, caller, std::move(decoded->message), std::move(*options)};
}

// What a task's action took ("host.update"): that of the route that began it.
v1::Role role_of_action(const std::string& action) {
  for (const std::string_view about : {"host.", "pool.", "network."}) {
    if (action.rfind(about, 0) == 0) return v1::ADMINISTRATOR;
  }
  return v1::OPERATOR;
}

}  // namespace

ApiHandler::ApiHandler(port::Manager& manager, Accounts& accounts, Directory& directory, AuditLog& audit,
                       PosterPtr poster, v1::Version about, const std::optional<JoinPoint>& join_point)
    : manager_(&manager),
      accounts_(&accounts),
      directory_(&directory),
      audit_(&audit),
      poster_(std::move(poster)),
      about_(std::move(about)),
      join_point_(&join_point) {}

std::optional<v1::Route::Kind> ApiHandler::kind_of(const HttpRequest& request) const {
  const auto target = parse_target(request.target);
  if (!target) return std::nullopt;
  const auto match = routes_.find(request.method, target->segments);
  if (!match) return std::nullopt;
  return match->entry->route.kind();
}

void ApiHandler::handle(HttpRequest request, Done done) {
  const auto shared = std::make_shared<const HttpRequest>(std::move(request));
  admit(shared, [this, shared, done = std::move(done)](const Result<Admitted, HttpAnswer>& admitted) {
    if (!admitted) return done(admitted.error());
    dispatch(shared, *admitted, audited(shared, *admitted, done));
  });
}

ApiHandler::Done ApiHandler::audited(const RequestPtr& request, const Admitted& admitted, const Done& done) {
  return [this, request, admitted, done](HttpAnswer answer) {
    if (admitted.entry->rpc == "Login" && answer.status >= 400) return note_login(request, admitted, answer, done);
    note(*request, admitted, answer);
    done(std::move(answer));
  };
}

void ApiHandler::note(const HttpRequest& request, const Admitted& admitted, const HttpAnswer& answer) {
  if (!is_kept(admitted.entry->route, admitted.options.dry_run)) return;
  audit_->record(note_of(*admitted.entry, admitted.caller, request, admitted.message.get(), answer));
}

// Who types the password into the line for the name is not to find it in the audit.
void ApiHandler::note_login(const RequestPtr& request, const Admitted& admitted, const HttpAnswer& refusal,
                            const Done& done) {
  v1::AuditEntry entry = note_of(*admitted.entry, admitted.caller, *request, admitted.message.get(), refusal);
  v1::ById who;
  who.set_id(entry.target());
  directory_->get_user(who, [this, entry = std::move(entry), refusal, done](const Result<v1::User>& known) {
    v1::AuditEntry kept = entry;
    if (!known || known->meta().name() != kept.target()) kept.clear_target();
    audit_->record(std::move(kept));
    done(refusal);
  });
}

HttpAnswer ApiHandler::refused(const RequestPtr& request, const RouteEntry& entry, const Caller& caller,
                               const Error& error) {
  HttpAnswer answer = answer_for(error);
  // Of tokens that serve no more there is nothing to say, and of a store that is away neither.
  if (answer.status == 403) audit_->record(note_of(entry, caller, *request, nullptr, answer));
  return answer;
}

void ApiHandler::admit(const RequestPtr& request, AdmitDone done) {
  const auto refuse = [&done](HttpAnswer answer) { done(tl::unexpected<HttpAnswer>(std::move(answer))); };
  const auto target = parse_target(request->target);
  if (!target) return refuse(answer_for(target.error()));
  const auto match = routes_.find(request->method, target->segments);
  if (!match) return refuse(answer_missing_route(routes_, *target, match.error()));

  const bool anonymous = match->entry->route.anonymous();
  const auto credentials =
      anonymous ? Result<Credentials>(Credentials{}) : credentials_of(*request, match->entry->route);
  if (!credentials) return refuse(refused(request, *match->entry, {}, credentials.error()));
  const auto go_on = [this, request, target = *target, match = *match, credentials = *credentials,
                      done](const Result<Caller>& caller) {
    if (!caller) return done(tl::unexpected<HttpAnswer>(answer_for(caller.error())));
    if (auto may = check_permitted(match.entry->route, *caller); !may) {
      return done(tl::unexpected<HttpAnswer>(refused(request, *match.entry, *caller, may.error())));
    }
    Result<Admitted> admitted = fail(ErrorCode::internal, "the request could not be served");
    try {
      admitted = decode(*request, target, match, *caller);
    } catch (const std::exception& error) {
      admitted = fail(internal_error(error));
    }
    if (!admitted) return done(tl::unexpected<HttpAnswer>(answer_for(admitted.error())));
    admitted->credentials = credentials;
    done(std::move(*admitted));
  };
  if (anonymous) return go_on(Caller{});
  accounts_->authenticate(*credentials, true, go_on);
}

void ApiHandler::check_sender(const HttpRequest& request, std::function<void(Result<bool, HttpAnswer>)> done) {
  const auto target = parse_target(request.target);
  const auto match = target ? routes_.find(request.method, target->segments) : fail(target.error());
  if (!match || match->entry->route.anonymous()) return done(false);
  const auto credentials = credentials_of(request, match->entry->route);
  if (!credentials) {
    const auto shared = std::make_shared<const HttpRequest>(request);
    return done(tl::unexpected<HttpAnswer>(refused(shared, *match->entry, {}, credentials.error())));
  }
  accounts_->authenticate(*credentials, false, [done = std::move(done)](const Result<Caller>& caller) {
    if (caller) return done(true);
    done(tl::unexpected<HttpAnswer>(answer_for(caller.error())));
  });
}

void ApiHandler::check_again(const Admitted& admitted, std::function<void(bool)> done) {
  const v1::Route& route = admitted.entry->route;
  accounts_->authenticate(admitted.credentials, false, [route, done = std::move(done)](const Result<Caller>& caller) {
    // A store that is unavailable for a moment ends nothing.
    if (!caller) return done(caller.error().code != ErrorCode::unauthenticated);
    done(check_permitted(route, *caller).has_value());
  });
}

void ApiHandler::call(const std::string& rpc, const Message& message, const port::CallOptions& options,
                      port::Manager::Answer done) {
  using Answer = Result<std::unique_ptr<Message>>;
  manager_->call(rpc, message, options, [poster = poster_, done = std::move(done)](Answer answer) {
    // std::function wants what can be copied.
    const auto shared = std::make_shared<Answer>(std::move(answer));
    poster->post([shared, done] { done(std::move(*shared)); });
  });
}

void ApiHandler::dispatch(const RequestPtr& request, const Admitted& admitted, const Done& done) {
  if (dispatch_own(request, admitted, done) || dispatch_directory(request, admitted, done)) return;
  if (admitted.entry->rpc == "CancelTask") return cancel_task(request, admitted, done);
  ask_manager(request, admitted, done);
}

void ApiHandler::cancel_task(const RequestPtr& request, const Admitted& admitted, const Done& done) {
  if (admitted.caller.role == v1::ADMINISTRATOR) return ask_manager(request, admitted, done);
  port::CallOptions options;
  options.actor = admitted.options.actor;
  call("GetTask", *admitted.message, options, [=, this](const Result<std::unique_ptr<Message>>& answer) {
    if (!answer) return done(answer_for(answer.error()));
    const auto& task = dynamic_cast<const v1::Task&>(**answer);
    if (auto may = check_role(role_of_action(task.action()), admitted.caller); !may) {
      return done(answer_for(may.error()));
    }
    ask_manager(request, admitted, done);
  });
}

void ApiHandler::ask_manager(const RequestPtr& request, const Admitted& admitted, const Done& done) {
  call(admitted.entry->rpc, *admitted.message, admitted.options,
       [request, admitted, done](const Result<std::unique_ptr<Message>>& answer) {
         if (!answer) return done(answer_for(answer.error()));
         if (*answer == nullptr || (*answer)->GetDescriptor() != answer_type(admitted)) {
           return done(answer_for(Error{ErrorCode::internal, admitted.entry->rpc + " gave an answer of another kind",
                                        "this is a defect", "please report it"}));
         }
         done(answer_message(*request, admitted, **answer));
       });
}

void ApiHandler::login(const RequestPtr& request, const Admitted& admitted, const Done& done) {
  const auto& message = dynamic_cast<const v1::LoginRequest&>(*admitted.message);
  if (message.cookie()) {
    // Else another page could have its visitors signed in as somebody of its own choice.
    if (const auto checked = check_same_origin(*request); !checked) return done(answer_for(checked.error()));
  }
  accounts_->login(message, request->peer, [=, cookie = message.cookie()](Result<v1::LoginAnswer> opened) {
    if (!opened) return done(answer_for(opened.error()));
    std::string token = opened->token();
    if (cookie) opened->clear_token();
    HttpAnswer answer = answer_secret(*request, admitted, *opened);
    if (cookie) answer.headers.emplace_back("Set-Cookie", session_cookie(token));
    done(std::move(answer));
  });
}

void ApiHandler::logout(const RequestPtr& request, const Admitted& admitted, const Done& done) {
  accounts_->logout(admitted.caller, admitted.options.dry_run, [=](const Result<Accounts::MessagePtr>& closed) {
    if (!closed) return done(answer_for(closed.error()));
    HttpAnswer answer = answer_secret(*request, admitted, **closed);
    const bool cookie = admitted.credentials.by_cookie && !admitted.options.dry_run;
    if (cookie) answer.headers.emplace_back("Set-Cookie", ended_session_cookie());
    done(std::move(answer));
  });
}

bool ApiHandler::dispatch_directory(const RequestPtr& request, const Admitted& admitted, const Done& done) {
  const std::string& rpc = admitted.entry->rpc;
  const Message& message = *admitted.message;
  const Caller& caller = admitted.caller;
  const bool dry_run = admitted.options.dry_run;
  const auto answer = [request, admitted, done](const auto& result) {
    if (!result) return done(answer_for(result.error()));
    done(answer_secret(*request, admitted, as_message(*result)));
  };
  if (rpc == "ListAudit") {
    audit_->list(dynamic_cast<const v1::ListAuditRequest&>(message), answer);
  } else if (rpc == "CheckAudit") {
    audit_->check(answer);
  } else if (rpc == "ListUsers") {
    directory_->list_users(answer);
  } else if (rpc == "GetUser") {
    directory_->get_user(dynamic_cast<const v1::ById&>(message), answer);
  } else if (rpc == "CreateUser") {
    directory_->create_user(caller, dynamic_cast<const v1::CreateUserRequest&>(message), dry_run, answer);
  } else if (rpc == "UpdateUser") {
    directory_->update_user(caller, dynamic_cast<const v1::UpdateUserRequest&>(message), dry_run, answer);
  } else if (rpc == "DeleteUser") {
    directory_->delete_user(caller, dynamic_cast<const v1::ById&>(message), dry_run, answer);
  } else if (rpc == "ListGroups") {
    directory_->list_groups(answer);
  } else if (rpc == "GetGroup") {
    directory_->get_group(dynamic_cast<const v1::ById&>(message), answer);
  } else if (rpc == "CreateGroup") {
    directory_->create_group(caller, dynamic_cast<const v1::CreateGroupRequest&>(message), dry_run, answer);
  } else if (rpc == "UpdateGroup") {
    directory_->update_group(caller, dynamic_cast<const v1::UpdateGroupRequest&>(message), dry_run, answer);
  } else if (rpc == "DeleteGroup") {
    directory_->delete_group(caller, dynamic_cast<const v1::ById&>(message), dry_run, answer);
  } else {
    return false;
  }
  return true;
}

bool ApiHandler::dispatch_own(const RequestPtr& request, const Admitted& admitted, const Done& done) {
  const std::string& rpc = admitted.entry->rpc;
  const Message& message = *admitted.message;
  const bool dry_run = admitted.options.dry_run;
  const auto answer = [request, admitted, done](const auto& result) {
    if (!result) return done(answer_for(result.error()));
    done(answer_secret(*request, admitted, as_message(*result)));
  };
  if (rpc == "GetOpenApi") {
    done(openapi());
  } else if (rpc == "GetVersion") {
    answer(Result<v1::Version>(about_));
  } else if (rpc == "Login") {
    login(request, admitted, done);
  } else if (rpc == "GetCurrentSession") {
    answer(Result<v1::CurrentSession>(Accounts::describe(admitted.caller)));
  } else if (rpc == "Logout") {
    logout(request, admitted, done);
  } else if (rpc == "ChangePassword") {
    accounts_->change_password(admitted.caller, dynamic_cast<const v1::ChangePasswordRequest&>(message), dry_run,
                               answer);
  } else if (rpc == "ListTokens") {
    accounts_->list_tokens(admitted.caller, answer);
  } else if (rpc == "CreateToken") {
    accounts_->create_token(admitted.caller, dynamic_cast<const v1::CreateTokenRequest&>(message), dry_run, answer);
  } else if (rpc == "DeleteToken") {
    accounts_->delete_token(admitted.caller, dynamic_cast<const v1::ById&>(message), dry_run, answer);
  } else if (rpc == "CreateHostToken") {
    create_host_token(*this, *join_point_, admitted.options, answer);
  } else {
    return false;
  }
  return true;
}

HttpAnswer ApiHandler::openapi() {
  if (openapi_.empty()) openapi_ = make_openapi(routes_, about_.version());
  HttpAnswer answer;
  answer.headers.emplace_back("Cache-Control", "no-cache");
  answer.body = openapi_;
  return answer;
}

}  // namespace gantry::server
