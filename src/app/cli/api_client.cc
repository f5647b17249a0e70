#include "app/cli/api_client.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>
#include <openssl/rand.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/hex.h"

namespace gantry::app {
namespace {

const v1::Route& route_of(const std::string& rpc) {
  const auto* service = v1::ById::descriptor()->file()->FindServiceByName("Gantry");
  return service->FindMethodByName(rpc)->options().GetExtension(v1::route);
}

std::string percent_encode(const std::string& text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char letter : text) {
    if (kPlain.find(letter) != std::string_view::npos) {
      encoded += letter;
    } else {
      const auto byte = static_cast<unsigned char>(letter);
      encoded += '%';
      encoded += kDigits[byte >> 4U];
      encoded += kDigits[byte & 15U];
    }
  }
  return encoded;
}

std::string random_key() {
  std::array<unsigned char, 16> bytes{};
  RAND_bytes(bytes.data(), static_cast<int>(bytes.size()));
  return to_hex(bytes.data(), bytes.size());
}

std::string to_json(const google::protobuf::Message& message) {
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text);
  return status.ok() ? text : "{}";
}

ErrorCode code_of_status(unsigned status) {
  switch (status) {
    case 400: return ErrorCode::invalid_argument;
    case 401: return ErrorCode::unauthenticated;
    case 403: return ErrorCode::permission_denied;
    case 404: return ErrorCode::not_found;
    case 409:
    case 412: return ErrorCode::conflict;
    case 503: return ErrorCode::unavailable;
    case 507: return ErrorCode::out_of_space;
    default: return status < 500 ? ErrorCode::invalid_argument : ErrorCode::internal;
  }
}

}  // namespace

Error error_of(const HttpResponse& response) {
  v1::ErrorAnswer answer;
  google::protobuf::util::JsonParseOptions lenient;
  lenient.ignore_unknown_fields = true;
  Error error;
  error.code = code_of_status(response.status);
  if (google::protobuf::util::JsonStringToMessage(response.body, &answer, lenient).ok() && !answer.summary().empty()) {
    error.summary = answer.summary();
    error.cause = answer.cause();
    error.next_step = answer.next_step();
    error.reason = answer.code();
  } else {
    error.summary = "the server answered with status " + std::to_string(response.status);
  }
  return error;
}

HttpRequest ApiClient::prepare(const v1::Route& route, const google::protobuf::Message& request,
                               const CallFlags& flags) const {
  HttpRequest http;
  http.method = route.method();
  auto fields = nlohmann::json::parse(to_json(request), nullptr, false);
  http.target = route.path();
  if (const auto at = http.target.find("{id}"); at != std::string::npos) {
    http.target.replace(at, 4, percent_encode(fields.value("id", "")));
    fields.erase("id");
  }
  std::string query;
  if (http.method == "GET" || http.method == "DELETE") {
    for (const auto& [name, value] : fields.items()) {
      query += (query.empty() ? "?" : "&") + name + "=" +
               percent_encode(value.is_string() ? value.get<std::string>() : value.dump());
    }
  } else {
    http.body = fields.dump();
    http.headers["Content-Type"] = "application/json";
  }
  if (flags.dry_run) query += query.empty() ? "?dry_run=true" : "&dry_run=true";
  // A repeat after a lost answer must not do the change twice.
  if (route.kind() == v1::Route::CHANGE && !flags.dry_run) http.headers["Idempotency-Key"] = random_key();
  http.target += query;
  if (!settings_.token.empty()) http.headers["Authorization"] = "Bearer " + settings_.token;
  return http;
}

Result<void> ApiClient::call_into(const std::string& rpc, const google::protobuf::Message& request,
                                  const CallFlags& flags, google::protobuf::Message& answer) {
  const auto response = https_.send(prepare(route_of(rpc), request, flags));
  if (!response) return fail(response.error());
  if (response->status >= 400) return fail(error_of(*response));
  if (response->body.empty()) return {};
  google::protobuf::util::JsonParseOptions lenient;
  lenient.ignore_unknown_fields = true;  // of a newer server
  const auto parsed = google::protobuf::util::JsonStringToMessage(response->body, &answer, lenient);
  if (!parsed.ok()) {
    return fail(ErrorCode::internal, "cannot understand the server's answer", std::string(parsed.message()),
                "see that gantry and gantryd are of the same version");
  }
  return {};
}

Result<void> ApiClient::upload_image(const std::string& image_id, const std::string& path,
                                     const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  v1::ById request;
  request.set_id(image_id);
  auto http = prepare(route_of("UploadImage"), request, {});
  http.headers["Content-Type"] = "application/octet-stream";
  http.body.clear();
  const auto response = https_.upload(http, path, progress);
  if (!response) return fail(response.error());
  if (response->status >= 400) return fail(error_of(*response));
  return {};
}

Result<void> ApiClient::follow_events(const v1::EventsRequest& request,
                                      const std::function<bool(const v1::ChangeEvent&, bool)>& change) {
  auto http = prepare(route_of("Events"), request, {});
  http.headers["Accept"] = "text/event-stream";
  bool resync = false;
  bool wanted = true;
  const auto response = https_.stream_lines(http, [&](std::string_view line) {
    constexpr std::string_view kData = "data:";
    if (line.empty()) resync = false;
    if (line == "event: resync") resync = true;
    if (line.substr(0, kData.size()) != kData) return true;
    v1::ChangeEvent event;
    google::protobuf::util::JsonParseOptions lenient;
    lenient.ignore_unknown_fields = true;
    const std::string json(line.substr(kData.size()));
    if (!google::protobuf::util::JsonStringToMessage(json, &event, lenient).ok()) return true;
    wanted = change(event, resync);
    return wanted;
  });
  if (!response) return fail(response.error());
  if (response->status >= 400) return fail(error_of(*response));
  if (!wanted) return {};
  return fail(ErrorCode::unavailable, "the server ended the stream of events", "it stops, or you were too slow",
              "go on from the last revision seen: gantry events --from REVISION");
}

Result<void> ApiClient::run_console(const std::string& vm, const ConsoleEnds& ends) {
  v1::ById request;
  request.set_id(vm);
  const auto response = https_.run_console(prepare(route_of("ConsoleVm"), request, {}), ends);
  if (!response) return fail(response.error());
  // 101: the connection became a console.
  return response->status == 101 ? Result<void>() : fail(error_of(*response));
}

}  // namespace gantry::app
