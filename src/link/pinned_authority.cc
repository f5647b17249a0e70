#include "link/pinned_authority.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"
#include "link/authority.h"
#include "link/pem.h"
#include "runtime/openssl_types.h"

namespace gantry::link {
namespace {

using runtime::Owned;

tl::unexpected<Error> unreachable(const model::LinkAddress& address, std::string cause) {
  return fail(ErrorCode::unavailable, "the manager at " + address.host + " port " + address.port + " cannot be reached",
              std::move(cause),
              "see that gantryd runs there with --link-listen, and that its link's port can be reached from here");
}

// False when nothing came in time.
bool wait_for(int fd, short events, Milliseconds step_ms) {
  pollfd waited{.fd = fd, .events = events, .revents = 0};
  int ready = -1;
  do {
    ready = ::poll(&waited, 1, static_cast<int>(step_ms));
  } while (ready < 0 && errno == EINTR);
  return ready == 1;
}

// Why it did not come to be; empty: it is connected.
std::string try_connect(const addrinfo& info, Milliseconds step_ms, UniqueFd& connected) {
  UniqueFd fd(::socket(info.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return std::strerror(errno);
  if (::connect(fd.get(), info.ai_addr, info.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return std::strerror(errno);
    if (!wait_for(fd.get(), POLLOUT, step_ms)) return "it does not answer";
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return std::strerror(error);
  }
  connected = std::move(fd);
  return {};
}

Result<UniqueFd> connect_to(const model::LinkAddress& address, Milliseconds step_ms) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int looked = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
  if (looked != 0) return unreachable(address, ::gai_strerror(looked));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, &::freeaddrinfo);
  UniqueFd fd;
  std::string why = "it has no address";
  for (const addrinfo* info = found; info != nullptr && !fd.valid(); info = info->ai_next) {
    why = try_connect(*info, step_ms, fd);
  }
  if (!fd.valid()) return unreachable(address, why);
  return fd;
}

bool shake_hands(SSL* ssl, int fd, Milliseconds step_ms) {
  // An honest manager needs a few; one that sends byte by byte does not hold this up for hours.
  constexpr int kWaitsMax = 20;
  for (int waits = 0; waits < kWaitsMax; ++waits) {
    const int done = SSL_connect(ssl);
    if (done == 1) return true;
    const int wanted = SSL_get_error(ssl, done);
    ERR_clear_error();
    if (wanted != SSL_ERROR_WANT_READ && wanted != SSL_ERROR_WANT_WRITE) return false;
    if (!wait_for(fd, wanted == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, step_ms)) return false;
  }
  return false;
}

}  // namespace

Result<std::string> fetch_authority(const model::LinkAddress& address, std::string_view fingerprint,
                                    Milliseconds step_ms) {
  auto fd = connect_to(address, step_ms);
  if (!fd) return fail(std::move(fd.error()));
  const Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  const Owned<SSL> ssl(context ? SSL_new(context.get()) : nullptr);
  constexpr std::array<unsigned char, 3> kProtocols = {2, 'h', '2'};
  if (!ssl || SSL_set_min_proto_version(ssl.get(), TLS1_2_VERSION) != 1 || SSL_set_fd(ssl.get(), fd->get()) != 1 ||
      SSL_set_alpn_protos(ssl.get(), kProtocols.data(), kProtocols.size()) != 0) {
    return fail(ErrorCode::internal, "TLS cannot be used", "OpenSSL refused");
  }
  // Nobody is trusted by this: the token's fingerprint decides, and gRPC then trusts that certificate alone.
  SSL_set_verify(ssl.get(), SSL_VERIFY_NONE, nullptr);
  if (!shake_hands(ssl.get(), fd->get(), step_ms)) return unreachable(address, "it does not speak TLS as managers do");
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl.get());
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain); ++i) {
    std::string pem = pem_of_certificate(sk_X509_value(chain, i));
    const auto shown = fingerprint_of(pem);
    if (shown && *shown == fingerprint) return pem;
  }
  return fail(ErrorCode::permission_denied,
              "the manager at " + address.host + " port " + address.port + " is not the one that made the token",
              "none of its certificates has the token's fingerprint",
              "make a new token there, and see that nobody stands between", "wrong_manager");
}

}  // namespace gantry::link
