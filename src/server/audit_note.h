// What the audit keeps of a call. Pure.
#pragma once

#include <google/protobuf/message.h>

#include "gantry/v1/routes.pb.h"
#include "server/http.h"
#include "server/roles.h"
#include "server/routes.h"

namespace gantry::server {

// Whether it is kept though it was allowed: what changes something, and who signed in.
bool is_kept(const v1::Route& route, bool dry_run);

// `message` may be null: it was refused before it was read. Nothing of it is taken but what it is about, and of a login
// who it was to be: whether there is such a user, and that it is no password typed in the wrong place, is for the
// caller to see.
v1::AuditEntry note_of(const RouteEntry& entry, const Caller& caller, const HttpRequest& request,
                       const google::protobuf::Message* message, const HttpAnswer& answer);

}  // namespace gantry::server
