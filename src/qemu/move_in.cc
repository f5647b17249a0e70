#include "qemu/move_in.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/unique_fd.h"
#include "model/limits.h"
#include "qemu/move_keys.h"

namespace gantry::qemu {
namespace {

using Json = nlohmann::ordered_json;

// Whether nobody listens there now. Somebody may a moment later: QEMU fails then, and the next is tried.
bool is_free(const std::string& host, std::uint16_t port) {
  sockaddr_storage address{};
  socklen_t length = 0;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
  if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    length = sizeof *v4;
  } else if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    length = sizeof *v6;
  }
  const UniqueFd socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  return socket.valid() && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
         ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0 &&
         ::listen(socket.get(), 1) == 0;
}

// 0: there is none.
std::uint16_t free_port_after(const std::string& host, std::uint16_t port) {
  for (int next = std::max<int>(kMovePortFirst, port + 1); next <= kMovePortLast; ++next) {
    if (is_free(host, static_cast<std::uint16_t>(next))) return static_cast<std::uint16_t>(next);
  }
  return 0;
}

bool is_taken(const Error& error) { return error.to_text().find("Address already in use") != std::string::npos; }

Json inet(const std::string& host, std::uint16_t port) {
  return {{"type", "inet"}, {"data", {{"host", host}, {"port", std::to_string(port)}}}};
}

}  // namespace

void MoveIn::step(std::string_view command, const std::string& arguments,
                  std::function<void(const std::string&)> then) {
  session_.execute(command, arguments,
                   [self = shared_from_this(), then = std::move(then)](const Result<std::string>& reply) {
                     if (reply) {
                       then(*reply);
                     } else {
                       self->fail_with(reply.error());
                     }
                   });
}

// The first free port that QEMU can have.
void MoveIn::step_at_port(std::uint16_t after, std::string_view command,
                          const std::function<std::string(std::uint16_t port)>& arguments,
                          const std::function<void(std::uint16_t port)>& then) {
  const std::uint16_t port = free_port_after(request_.listen_address, after);
  if (port == 0) {
    fail_with({ErrorCode::unavailable, "no port is free at " + request_.listen_address,
               "every one from " + std::to_string(kMovePortFirst) + " to " + std::to_string(kMovePortLast) +
                   " is in use, or the address is not this host's"});
    return;
  }
  session_.execute(command, arguments(port),
                   [self = shared_from_this(), command = std::string(command), port, arguments,
                    then](const Result<std::string>& reply) {
                     if (reply) {
                       then(port);
                     } else if (is_taken(reply.error())) {
                       self->step_at_port(port, command, arguments, then);
                     } else {
                       self->fail_with(reply.error());
                     }
                   });
}

void MoveIn::begin() {
  address_.set_host(request_.listen_address);
  address_.set_secret(request_.secret);
  step("object-add", tls_object(request_.key_directory, true), [this](const std::string&) {
    if (request_.terms.copied_disks.empty()) {
      prepare_memory();
    } else {
      serve_disks();
    }
  });
}

void MoveIn::serve_disks() {
  const auto arguments = [host = request_.listen_address](std::uint16_t port) {
    return Json{{"addr", inet(host, port)}, {"tls-creds", kMoveCredentials}, {"max-connections", model::kDisksMax}}
        .dump();
  };
  step_at_port(0, "nbd-server-start", arguments, [this](std::uint16_t port) {
    address_.set_disk_port(port);
    export_disk(0);
  });
}

void MoveIn::export_disk(std::size_t count) {
  if (count == request_.terms.copied_disks.size()) {
    prepare_memory();
    return;
  }
  const std::size_t index = request_.terms.copied_disks[count];
  const Json disk = {{"type", "nbd"},
                     {"id", move_job(index)},
                     {"name", move_job(index)},
                     {"node-name", "disk" + std::to_string(index)},
                     {"writable", true}};
  step("block-export-add", disk.dump(), [this, count](const std::string&) { export_disk(count + 1); });
}

// Its disks are taken from the source only when it is let run; by postcopy as soon as it could be, but nothing is
// written then either.
void MoveIn::prepare_memory() {
  const port::MoveTerms& terms = request_.terms;
  Json capabilities = Json::array();
  const auto add = [&](const char* name) { capabilities.push_back({{"capability", name}, {"state", true}}); };
  for (const char* name : {"events", "late-block-activate", "return-path"}) add(name);
  if (terms.connections > 1) add("multifd");
  if (terms.postcopy) add("postcopy-ram");
  step("migrate-set-capabilities", Json{{"capabilities", capabilities}}.dump(), [this](const std::string&) {
    const Json parameters = {{"tls-creds", kMoveCredentials}, {"multifd-channels", request_.terms.connections}};
    step("migrate-set-parameters", parameters.dump(), [this](const std::string&) { listen(); });
  });
}

void MoveIn::listen() {
  const auto arguments = [host = request_.listen_address](std::uint16_t port) {
    const bool is_v6 = host.find(':') != std::string::npos;
    return Json{{"uri", "tcp:" + (is_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port)}}.dump();
  };
  step_at_port(static_cast<std::uint16_t>(address_.disk_port()), "migrate-incoming", arguments,
               [this](std::uint16_t port) {
                 address_.set_port(port);
                 std::exchange(listening_, nullptr)(address_);
               });
}

void MoveIn::fail_with(const Error& why) {
  Error error = why;
  error.cause = why.to_text();
  error.summary = "this host cannot receive the guest";
  std::exchange(listening_, nullptr)(fail(std::move(error)));
}

}  // namespace gantry::qemu
