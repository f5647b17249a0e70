// HTTPS for the command line: one request at a time, blocking, every step under a time limit.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace gantry::app {

struct ServerAddress {
  // "127.0.0.1", "gantry.example.com", "::1".
  std::string host;
  std::string port = "8443";
  // SHA-256 of the certificate in lower-case hexadecimal; the server must show exactly it. Empty: the certificate must
  // be one that this machine's authorities vouch for.
  std::string fingerprint;
};

// Takes "https://host:8443", "host:port", "host" or "[::1]:8443".
Result<ServerAddress> parse_server_address(std::string_view text);

struct HttpRequest {
  std::string method = "GET";
  std::string target;
  std::map<std::string, std::string> headers = {};
  std::string body = {};
  Milliseconds timeout_ms = 60'000;
};

struct HttpResponse {
  unsigned status = 0;
  std::map<std::string, std::string> headers = {};  // names in lower case
  std::string body = {};
};

// A terminal at one end, a guest's serial console at the other.
struct ConsoleEnds {
  int input_fd = 0;
  int output_fd = 1;
  // Typed alone, it ends the session: Ctrl-].
  char escape = '\x1d';
};

class HttpsConnection;

class HttpsClient {
 public:
  explicit HttpsClient(ServerAddress address);
  ~HttpsClient();

  // Connects when needed and keeps the connection for the next request.
  Result<HttpResponse> send(const HttpRequest& request);
  // Sends a file as the body, telling how many bytes have gone.
  Result<HttpResponse> upload(const HttpRequest& request, const std::string& path,
                              const std::function<void(std::uint64_t sent, std::uint64_t total)>& progress);
  // Hands each line of an endless answer to `line` until that returns false or the server ends it. An answer from 400
  // on comes back as it is.
  Result<HttpResponse> stream_lines(const HttpRequest& request, const std::function<bool(std::string_view)>& line);
  // Until the guest's console ends or the user leaves. The answer of a server that opens none comes back as it is.
  Result<HttpResponse> run_console(const HttpRequest& request, const ConsoleEnds& ends);

  // What the server shows, whether it is trusted or not: to ask a person.
  Result<std::string> peek_fingerprint();

 private:
  Result<HttpsConnection*> connection();
  Error explain(const std::string& what, const std::string& cause) const;

  ServerAddress address_;
  std::unique_ptr<HttpsConnection> connection_;
};

}  // namespace gantry::app
