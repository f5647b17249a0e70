// What the tests of the server share.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "server/routes.h"
#include "server/test_server.h"

namespace gantry::server::testing {

std::unique_ptr<google::protobuf::Message> FakeManager::sample(const std::string& rpc, bool dry_run) {
  static const RouteTable routes;
  for (const RouteEntry& entry : routes.entries()) {
    if (entry.rpc != rpc) continue;
    const auto* type = dry_run ? v1::Accepted::descriptor() : entry.method->output_type();
    std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    if (auto* accepted = dynamic_cast<v1::Accepted*>(message.get())) {
      accepted->mutable_plan()->add_steps("do it");
      if (!dry_run) accepted->mutable_task()->mutable_meta()->set_id("task-000000000001");
    } else if (const auto* meta = type->FindFieldByName("meta")) {
      auto* made = message->GetReflection()->MutableMessage(message.get(), meta);
      auto& filled = dynamic_cast<v1::Meta&>(*made);
      filled.set_id("thing-1");
      filled.set_name("thing");
      filled.set_revision(7);
      (*filled.mutable_labels())["a"] = "b";
      filled.mutable_created_at()->set_seconds(1);
    }
    if (auto* image = dynamic_cast<v1::Image*>(message.get())) {
      image->mutable_spec()->set_upload(true);
      image->mutable_status()->set_state(v1::ImageStatus::WAITING);
    }
    if (auto* list = dynamic_cast<v1::VmList*>(message.get())) {
      list->add_items()->mutable_spec()->add_disks()->mutable_create()->set_capacity_bytes(1);
      list->set_revision(9);
    }
    return message;
  }
  return nullptr;
}

Client::Client(std::uint16_t port, bool tls, int tls_version_max, const char* from)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), tls_(tls) {
  // A server that closes must not end the test.
  std::signal(SIGPIPE, SIG_IGN);
  const timeval limit{10, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, from, &address.sin_addr);
  if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return;
  connected_ = !tls_;
  if (!tls_) return;
  context_ = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
  // Old versions would otherwise be refused by this side already.
  if (tls_version_max != 0) {
    SSL_CTX_set_security_level(context_, 0);
    SSL_CTX_set_max_proto_version(context_, tls_version_max);
  }
  ssl_ = SSL_new(context_);
  SSL_set_fd(ssl_, socket_.get());
  connected_ = SSL_connect(ssl_) == 1;
}

Client::~Client() {
  SSL_free(ssl_);
  SSL_CTX_free(context_);
}

X509* Client::certificate() const { return SSL_get0_peer_certificate(ssl_); }

bool Client::send(const std::string& bytes) {
  if (!connected_) return false;
  if (bytes.empty()) return true;
  if (tls_) return SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) == static_cast<int>(bytes.size());
  return ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

bool Client::read_more() {
  char piece[16384];
  const auto count =
      tls_ ? static_cast<ssize_t>(SSL_read(ssl_, piece, sizeof piece)) : ::recv(socket_.get(), piece, sizeof piece, 0);
  if (!connected_ || count <= 0) return false;
  buffer_.append(piece, static_cast<std::size_t>(count));
  return true;
}

std::string Client::read_until(const std::string& text) {
  std::size_t found = buffer_.find(text);
  while (found == std::string::npos) {
    if (!read_more()) return {};
    found = buffer_.find(text);
  }
  std::string result = buffer_.substr(0, found + text.size());
  buffer_.erase(0, result.size());
  return result;
}

std::string Client::read_exactly(std::size_t count) {
  while (buffer_.size() < count) {
    if (!read_more()) return {};
  }
  std::string result = buffer_.substr(0, count);
  buffer_.erase(0, count);
  return result;
}

bool Client::wait_for_close() {
  while (read_more()) buffer_.clear();
  return errno != EAGAIN && errno != EWOULDBLOCK;
}

Reply Client::receive(const std::string& method, bool keep_continue) {
  Reply reply;
  std::string head = read_until("\r\n\r\n");
  if (!keep_continue && head.rfind("HTTP/1.1 100", 0) == 0) head = read_until("\r\n\r\n");
  if (head.size() < 12) return reply;
  reply.status = std::atoi(head.c_str() + 9);
  for (std::size_t begin = head.find("\r\n") + 2; begin + 2 < head.size();) {
    const std::size_t end = head.find("\r\n", begin);
    const std::string line = head.substr(begin, end - begin);
    const std::size_t colon = line.find(": ");
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (colon != std::string::npos) reply.headers[name] = line.substr(colon + 2);
    begin = end + 2;
  }
  const auto length = reply.headers.find("content-length");
  if (method != "HEAD" && length != reply.headers.end()) reply.body = read_exactly(std::stoul(length->second));
  return reply;
}

Reply Client::ask(const std::string& method, const std::string& target, const std::string& body,
                  const std::vector<std::string>& headers) {
  std::string request = method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n";
  for (const std::string& header : headers) request += header + "\r\n";
  if (!body.empty()) request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  // The server may answer and close before it has taken everything.
  send(request + "\r\n" + body);
  return receive(method);
}

TestServer::TestServer(const std::function<void(ApiServerOptions&)>& adjust) {
  std::string pattern = ::testing::TempDir() + "gantry-server-XXXXXX";
  directory = ::mkdtemp(pattern.data());
  options.port = 0;
  options.certificate_path = directory / "server.crt";
  options.key_path = directory / "server.key";
  options.local_token = kLocalToken;
  options.version = "1.2.3";
  options.upload_path = [this](const v1::Image& image) -> Result<std::string> { return directory / image.meta().id(); };
  if (adjust) adjust(options);
  server = std::make_unique<ApiServer>(options, manager, store, console);
  auto result = server->start();
  EXPECT_TRUE(result) << (result ? "" : result.error().to_text());
  if (result) started = *result;
}

TestServer::~TestServer() {
  server.reset();
  std::filesystem::remove_all(directory);
}

Reply TestServer::ask(const std::string& method, const std::string& target, const std::string& body,
                      std::vector<std::string> headers, const std::string& token) const {
  Client client(started.port);
  if (!token.empty()) headers.push_back("Authorization: Bearer " + token);
  return client.ask(method, target, body, headers);
}

std::string TestServer::login(const std::string& password) const {
  const Reply reply = ask("POST", "/api/v1/sessions", R"({"user":"admin","password":")" + password + R"("})", {}, "");
  if (reply.status != 200) return {};
  return nlohmann::json::parse(reply.body).at("token");
}

}  // namespace gantry::server::testing
