#include "server/api_server.h"

#include <spdlog/spdlog.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <map>
#include <optional>
#include <thread>

#include "runtime/clock.h"
#include "server/accounts.h"
#include "server/certificate.h"
#include "server/http_connection.h"

namespace gantry::server {
namespace {

using asio::ip::tcp;

Error cannot_listen(const std::string& address, std::uint16_t port, const std::string& cause) {
  return Error{ErrorCode::unavailable, "cannot listen on " + address + " port " + std::to_string(port), cause,
               "choose another address or port, or end what uses it"};
}

Result<tcp::acceptor> listen(asio::io_context& context, const std::string& text, std::uint16_t port) {
  BeastError error;
  const auto address = asio::ip::make_address(text, error);
  if (error) return fail(cannot_listen(text, port, "it is not an IP address"));
  const tcp::endpoint endpoint(address, port);
  tcp::acceptor acceptor(context);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  // So that "::" and "0.0.0.0" can both be given.
  if (!error && address.is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail(cannot_listen(text, port, error.message()));
  return acceptor;
}

v1::Version about(const ApiServerOptions& options) {
  v1::Version version;
  version.set_version(options.version);
  version.set_api("v1");
  version.set_host_id(options.own_host_id);
  return version;
}

}  // namespace

class ApiServer::Impl {
 public:
  Impl(ApiServerOptions options, port::Manager& manager, port::Store& store, port::Console& console)
      : options_(std::move(options)),
        now_(options_.now ? options_.now : runtime::real_now),
        store_(store),
        poster_(
            std::make_shared<Poster>([this](std::function<void()> work) { asio::post(*context_, std::move(work)); })),
        identity_({options_.certificate_path, options_.key_path}),
        accounts_(StoreClient(store, poster_), poster_, now_, options_.local_token),
        directory_(StoreClient(store, poster_), now_, accounts_),
        audit_({.directory = options_.audit_directory}, poster_, now_),
        api_(manager, accounts_, directory_, audit_, poster_, about(options_), options_.join_point),
        events_(store, poster_, [this](std::function<void()> work) { retry_later(std::move(work)); }),
        edge_{*context_, poster_, options_, api_, events_, console, files_} {}
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Result<ApiServerStarted> start() {
    const TlsPaths paths{options_.certificate_path, options_.key_path};
    if (auto made = ensure_certificate(paths, options_.addresses); !made) return fail(made.error());
    if (auto loaded = identity_.load(); !loaded) return fail(loaded.error());
    // A disk that is full keeps nobody from the guests.
    if (auto opened = audit_.open(); !opened) spdlog::error("{}", opened.error().to_text());
    ApiServerStarted started;
    started.port = options_.port;
    for (const std::string& address : options_.addresses) {
      auto acceptor = listen(*context_, address, started.port);
      if (!acceptor) return fail(acceptor.error());
      started.port = acceptor->local_endpoint().port();
      acceptors_.push_back(std::move(*acceptor));
    }
    // Last: a password that was made must reach somebody.
    if (!options_.refuses) {
      auto password = ensure_first_user(store_, now_());
      if (!password) return fail(password.error());
      started.first_password = *password;
    }
    for (std::size_t i = 0; i < acceptors_.size(); ++i) accept(i);
    guard_.emplace(context_->get_executor());
    thread_ = std::thread([this] { run(); });
    return started;
  }

  void stop() {
    if (thread_.joinable()) {
      asio::post(*context_, [this] { begin_stop(); });
      thread_.join();
    }
    poster_->close();
    // What is left are callbacks that came in at the very end; they may still point at members of this.
    acceptors_.clear();
    edge_.connections.clear();
    shutdown_.reset();
    guard_.reset();
    context_.reset();
  }

 private:
  void run() {
    while (true) {
      try {
        context_->run();
        return;
      } catch (const std::exception& error) {
        // A connection's handler failed: that connection hangs until its deadline; the others go on.
        spdlog::error("the API server met an exception: {}", error.what());
      }
    }
  }

  void accept(std::size_t index) {
    acceptors_[index].async_accept(*context_, [this, index](const BeastError& error, tcp::socket socket) {
      if (edge_.stopping) return;
      if (!error) {
        on_client(std::move(socket));
      } else {
        spdlog::warn("cannot accept an API client: {}", error.message());
      }
      // Out of descriptors, say: not again at once.
      if (error) return retry_later([this, index] { accept(index); });
      accept(index);
    });
  }

  void on_client(tcp::socket socket) {
    // Too many: closed by its destructor.
    if (edge_.connections.size() >= options_.connections_max && !make_room()) return;
    const std::uint64_t number = next_number_++;
    const auto tls = identity_.current(now_().monotonic_ms);
    const auto connection = std::make_shared<HttpConnection>(edge_, number, std::move(socket), *tls);
    edge_.connections[number] = connection;
    connection->start();
  }

  // Ends the oldest spare connection of the network that has the most of those. Nobody keeps others out by opening
  // many: whoever has fewer comes in.
  bool make_room() {
    std::map<std::string, std::size_t> spare;
    for (const auto& [number, connection] : edge_.connections) {
      if (connection->is_spare()) ++spare[connection->network()];
    }
    std::shared_ptr<ConnectionBase> goes;
    for (const auto& [number, connection] : edge_.connections) {
      if (!connection->is_spare()) continue;
      if (!goes || spare[connection->network()] > spare[goes->network()]) goes = connection;
    }
    if (goes) goes->abort();
    return goes != nullptr;
  }

  void retry_later(std::function<void()> work) {
    const auto timer = std::make_shared<asio::steady_timer>(*context_, std::chrono::seconds(1));
    timer->async_wait([this, timer, work = std::move(work)](const BeastError& error) {
      if (!error && !edge_.stopping) work();
    });
  }

  void begin_stop() {
    edge_.stopping = true;
    for (tcp::acceptor& acceptor : acceptors_) {
      BeastError ignored;
      acceptor.close(ignored);
    }
    // By a copy: connections leave the table while they end.
    const auto connections = edge_.connections;
    for (const auto& [number, connection] : connections) connection->finish();
    shutdown_.emplace(*context_);
    wait_for_connections(options_.shutdown_ms);
  }

  void wait_for_connections(Milliseconds left_ms) {
    static constexpr Milliseconds kStepMs = 20;
    if (edge_.connections.empty() || left_ms <= 0) return end_stop();
    shutdown_->expires_after(std::chrono::milliseconds(kStepMs));
    shutdown_->async_wait(
        [this, left_ms](const BeastError& /*never cancelled*/) { wait_for_connections(left_ms - kStepMs); });
  }

  void end_stop() {
    const auto connections = edge_.connections;
    for (const auto& [number, connection] : connections) connection->abort();
    // A moment for the handlers of the closed sockets to come home; those that do not are dropped with the context.
    shutdown_->expires_after(std::chrono::milliseconds(20));
    shutdown_->async_wait([this](const BeastError& /*never cancelled*/) { context_->stop(); });
  }

  ApiServerOptions options_;
  std::function<Now()> now_;
  port::Store& store_;
  std::unique_ptr<asio::io_context> context_ = std::make_unique<asio::io_context>(1);
  PosterPtr poster_;
  TlsIdentity identity_;
  Accounts accounts_;
  Directory directory_;
  AuditLog audit_;
  ApiHandler api_;
  EventHub events_;
  runtime::WorkerPool files_{1};
  Edge edge_;
  std::vector<tcp::acceptor> acceptors_;
  std::uint64_t next_number_ = 1;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> guard_;
  std::optional<asio::steady_timer> shutdown_;
  std::thread thread_;
};

ApiServer::ApiServer(ApiServerOptions options, port::Manager& manager, port::Store& store, port::Console& console)
    : impl_(std::make_unique<Impl>(std::move(options), manager, store, console)) {}

ApiServer::~ApiServer() = default;

Result<ApiServerStarted> ApiServer::start() {
  try {
    return impl_->start();
  } catch (const std::exception& error) {
    return fail(ErrorCode::internal, "the API server cannot start", error.what(), "please report this");
  }
}

void ApiServer::stop() { impl_->stop(); }

}  // namespace gantry::server
