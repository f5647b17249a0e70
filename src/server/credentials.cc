#include "server/credentials.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace gantry::server {
namespace {

constexpr const char* kAttributes = "; Path=/; Secure; HttpOnly; SameSite=Strict";

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

std::string bearer_token(const HttpRequest& request) {
  static constexpr std::string_view kSubprotocol = "gantry.bearer.";
  const std::string header = request.header("authorization");
  if (lower(header.substr(0, 7)) == "bearer ") return header.substr(7);
  const std::string protocols = request.header("sec-websocket-protocol");
  const std::size_t begin = protocols.find(kSubprotocol);
  if (begin == std::string::npos) return {};
  const std::size_t first = begin + kSubprotocol.size();
  return protocols.substr(first, protocols.find_first_of(", ", first) - first);
}

// Empty when there is none, or more than one: then nobody can say which of them the server gave.
std::string cookie_token(const HttpRequest& request) {
  const std::string header = request.header("cookie");
  const std::string name = std::string(kSessionCookie) + "=";
  std::optional<std::string> token;
  for (std::size_t begin = 0; begin < header.size();) {
    begin = header.find_first_not_of(' ', begin);
    if (begin == std::string::npos) break;
    const std::size_t end = std::min(header.find(';', begin), header.size());
    if (header.compare(begin, name.size(), name) == 0) {
      if (token) return {};
      token = header.substr(begin + name.size(), end - begin - name.size());
    }
    begin = end + 1;
  }
  return token.value_or("");
}

bool only_reads(const v1::Route& route) {
  return route.method() == "GET" && route.kind() != v1::Route::EVENTS && route.kind() != v1::Route::SOCKET;
}

Error foreign_origin(const std::string& cause) {
  return Error{ErrorCode::permission_denied, "the request was not taken", cause,
               "use the page that this server itself serves, or a bearer token; a proxy in between must hand on the "
               "headers Host and Origin as they are",
               "foreign_origin"};
}

// The browser says that another page makes the request.
Result<void> check_not_foreign(const HttpRequest& request, bool reads) {
  const std::string site = request.header("sec-fetch-site");
  const bool typed_by_hand = reads && site == "none";
  if (!site.empty() && site != "same-origin" && !typed_by_hand) {
    return fail(foreign_origin("by its header Sec-Fetch-Site a page of another server makes it"));
  }
  const std::string origin = request.header("origin");
  if (!origin.empty() && origin != "https://" + request.header("host")) {
    return fail(foreign_origin("its header Origin is not this server's address"));
  }
  return {};
}

}  // namespace

Result<void> check_same_origin(const HttpRequest& request) {
  if (auto checked = check_not_foreign(request, false); !checked) return checked;
  if (!request.header("sec-fetch-site").empty() || !request.header("origin").empty()) return {};
  return fail(foreign_origin("it has neither of the headers Sec-Fetch-Site and Origin, which say what page makes it"));
}

Result<Credentials> credentials_of(const HttpRequest& request, const v1::Route& route) {
  if (std::string token = bearer_token(request); !token.empty()) return Credentials{std::move(token), false};
  std::string token = cookie_token(request);
  if (token.empty()) {
    return fail(ErrorCode::unauthenticated, "this needs a login",
                "the request has no Authorization: Bearer header and no session's cookie",
                "log in by POST /api/v1/sessions, or use an API token", "no_credentials");
  }
  const bool reads = only_reads(route);
  auto checked = reads ? check_not_foreign(request, true) : check_same_origin(request);
  if (!checked) return fail(checked.error());
  return Credentials{std::move(token), true};
}

std::string session_cookie(const std::string& token) { return kSessionCookie + ("=" + token) + kAttributes; }

std::string ended_session_cookie() { return std::string(kSessionCookie) + "=; Max-Age=0" + kAttributes; }

}  // namespace gantry::server
