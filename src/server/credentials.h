// By what a request says who makes it: a bearer token, or the cookie of a browser's session.
//
// A browser sends a cookie along with requests that other pages make it send. Two walls stand against that: the cookie
// is SameSite=Strict, and a request with it is taken only from a page of this very server, as the browser itself says
// by Sec-Fetch-Site or Origin, which no page can forge. What changes something, a WebSocket and the events need that
// proof; other reads need only that nothing speaks against it (an address typed by hand has neither header). A token in
// a header is sent by nobody but its holder, and needs no proof.
#pragma once

#include <string>

#include "base/result.h"
#include "gantry/v1/routes.pb.h"
#include "server/http.h"

namespace gantry::server {

// "__Host-": browsers take it over TLS from this host alone, so that no neighbour in the domain can plant one.
inline constexpr const char* kSessionCookie = "__Host-gantry-session";

struct Credentials {
  std::string token;
  bool by_cookie = false;
};

// Of Authorization, or the WebSocket subprotocol "gantry.bearer.TOKEN", or else the cookie. unauthenticated, reason
// no_credentials, when there are none; permission_denied, reason foreign_origin, when a cookie came from another page.
Result<Credentials> credentials_of(const HttpRequest& request, const v1::Route& route);

// Whether the browser says that a page of this server makes the request; else permission_denied, foreign_origin.
Result<void> check_same_origin(const HttpRequest& request);

// For Set-Cookie: with the token, and such that the browser forgets it.
std::string session_cookie(const std::string& token);
std::string ended_session_cookie();

}  // namespace gantry::server
