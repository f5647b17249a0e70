#include "link/grpc_host_link.h"

#include <algorithm>
#include <functional>
#include <map>

#include "base/rng.h"
#include "link/channel.h"
#include "link/host_stream.h"
#include "link/status.h"

namespace gantry::link {
namespace {

constexpr Milliseconds kHourMs = 3'600'000;
constexpr Milliseconds kRenewAgainMs = 60'000;
constexpr Milliseconds kRenewDeadlineMs = 30'000;
constexpr Milliseconds kRefusedPauseMs = 60'000;
constexpr Milliseconds kStopMs = 5'000;

struct Renewal {
  grpc::ClientContext context;
  v1::RenewRequest request;
  v1::RenewAnswer answer;
  std::string key_pem;
};

// Certificates begin an hour before they are given (authority.h).
Milliseconds renewal_due_ms(const Validity& validity) {
  const Milliseconds given_ms = validity.from_ms + kHourMs;
  return given_ms + std::min(kRenewAfterMs, (validity.until_ms - given_ms) * 2 / 3);
}

}  // namespace

class GrpcHostLink::Client : public std::enable_shared_from_this<Client> {
 public:
  Client(port::Executor& executor, HostCredentials credentials, HostLinkOptions options)
      : executor_(executor),
        credentials_(std::move(credentials)),
        options_(std::move(options)),
        rng_(std::hash<std::string>{}(credentials_.own.certificate_pem)) {}

  std::function<void(const v1::ToHost&)> message_handler;
  std::function<void(bool)> connection_handler;

  void start() {
    watch_certificate(0);
    connect();
  }

  void send(const v1::FromHost& message) {
    if (admitted_) stream_->send(message);
  }

  // From another thread.
  void stop() {
    if (std::exchange(asked_to_stop_, true)) return;
    // Until the loop has taken it a new stream may begin.
    under_way_->begin();
    executor_.post([self = shared_from_this()] {
      self->stopped_ = true;
      if (self->stream_) self->stream_->cancel();
      self->end_previous();
      if (self->renewal_) self->renewal_->context.TryCancel();
      self->under_way_->end();
    });
    under_way_->wait(kStopMs);
  }

 private:
  void log(const std::string& line) const {
    if (options_.log) options_.log(line);
  }

  template <class Work>
  auto alive(Work work) {
    return [weak = weak_from_this(), work = std::move(work)](auto&&... arguments) {
      if (const auto self = weak.lock()) work(*self, std::forward<decltype(arguments)>(arguments)...);
    };
  }

  void connect() {
    if (stopped_) return;
    channel_ = make_channel({.address = credentials_.addresses[next_address_ % credentials_.addresses.size()],
                             .authority_pem = credentials_.authority_pem,
                             .own = credentials_.own,
                             .ping_ms = options_.ping_ms});
    const std::uint64_t number = ++stream_number_;
    admitted_ = false;
    stream_ = HostStream::open(
        executor_, channel_, under_way_,
        {.admitted = alive([number](Client& self, const std::string& peer) { self.admitted(number, peer); }),
         .message = alive([number](Client& self, const v1::ToHost& message) { self.message_came(number, message); }),
         .ended = alive([number](Client& self, const grpc::Status& status) { self.ended(number, status); })});
  }

  void admitted(std::uint64_t number, const std::string& peer) {
    if (number != stream_number_) return;
    admitted_ = true;
    pause_ms_ = 0;
    troubles_.clear();
    end_previous();
    log("connected to the manager at " + address());
    if (options_.connected_to) options_.connected_to(peer);
    if (connection_handler) connection_handler(true);
  }

  void message_came(std::uint64_t number, const v1::ToHost& message) {
    if (number == stream_number_ && admitted_ && message_handler) message_handler(message);
  }

  void ended(std::uint64_t number, const grpc::Status& status) {
    if (number != stream_number_) return;
    const bool was_admitted = std::exchange(admitted_, false);
    const bool was_told = was_admitted || previous_ != nullptr;
    stream_.reset();
    channel_.reset();
    end_previous();
    if (was_told && connection_handler) connection_handler(false);
    if (stopped_) return;
    executor_.post_after(next_pause(status, was_admitted), alive([](Client& self) { self.connect(); }));
  }

  // The one that another has taken the place of.
  void end_previous() {
    if (const auto previous = std::exchange(previous_, nullptr)) previous->cancel();
  }

  // What was said once is not said again until it changes.
  Milliseconds next_pause(const grpc::Status& status, bool was_admitted) {
    const Error error = to_error(status);
    const std::string text = error.to_text();
    std::string& told = troubles_[address()];
    if (told != text) log("no connection to the manager at " + address() + ": " + text);
    told = text;
    // One that has just served is the first to try.
    if (!was_admitted) ++next_address_;
    if (error.code == ErrorCode::permission_denied && !was_admitted) return kRefusedPauseMs;
    pause_ms_ = pause_ms_ == 0 ? options_.first_pause_ms : std::min(options_.last_pause_ms, pause_ms_ * 2);
    // Many hosts that lost the same manager do not come back at the same moment.
    return pause_ms_ / 2 + static_cast<Milliseconds>(rng_.below(static_cast<std::uint64_t>(pause_ms_) + 1));
  }

  [[nodiscard]] const std::string& address() const {
    return credentials_.addresses[next_address_ % credentials_.addresses.size()];
  }

  void watch_certificate(Milliseconds pause_ms) {
    executor_.post_after(pause_ms, alive([](Client& self) { self.look_at_certificate(); }));
  }

  void look_at_certificate() {
    if (stopped_) return;
    const auto validity = validity_of(credentials_.own.certificate_pem);
    const Milliseconds now_ms = executor_.now().unix_ms;
    const Milliseconds due_ms = validity ? renewal_due_ms(*validity) : now_ms + kHourMs;
    if (validity && now_ms >= validity->until_ms) {
      log("this host's certificate has ended: join again with a new token, gantryd join --replace TOKEN");
      return watch_certificate(kHourMs);
    }
    if (now_ms < due_ms) return watch_certificate(std::min(due_ms - now_ms, kHourMs));
    if (!admitted_)
      return watch_certificate(std::min(kRenewAgainMs, std::max<Milliseconds>(1, options_.first_pause_ms)));
    renew();
  }

  void renew() {
    auto key = make_key_request();
    if (!key) {
      log(key.error().to_text());
      return watch_certificate(kRenewAgainMs);
    }
    renewal_ = std::make_shared<Renewal>();
    renewal_->key_pem = std::move(key->key_pem);
    renewal_->request.set_certificate_request(key->request_pem);
    renewal_->context.set_deadline(gpr_time_from_millis(kRenewDeadlineMs, GPR_TIMESPAN));
    under_way_->begin();
    const std::shared_ptr<v1::HostLink::Stub> stub = v1::HostLink::NewStub(channel_);
    auto done = alive([](Client& self, const grpc::Status& status) { self.renewal_answered(status); });
    stub->async()->Renew(
        &renewal_->context, &renewal_->request, &renewal_->answer,
        [&executor = executor_, under_way = under_way_, stub, held = renewal_, done](const grpc::Status& status) {
          executor.post([done, held, status] { done(status); });
          under_way->end();
        });
  }

  void renewal_answered(const grpc::Status& status) {
    const auto renewal = std::exchange(renewal_, nullptr);
    if (stopped_) return;
    HostCredentials renewed = credentials_;
    renewed.own = {renewal->answer.certificate_pem(), renewal->key_pem};
    Result<void> good = status.ok() ? check_host_credentials(renewed.authority_pem, renewed.own, renewed.host_id)
                                    : Result<void>(fail(to_error(status)));
    if (good && options_.keep) good = options_.keep(renewed);
    if (!good) {
      log("the certificate was not renewed: " + good.error().to_text());
      return watch_certificate(kRenewAgainMs);
    }
    credentials_ = std::move(renewed);
    log("the certificate was renewed");
    watch_certificate(0);
    if (!stream_) return;
    // The old stream goes once the new one is there: the manager never sees the host gone.
    end_previous();
    previous_ = std::move(stream_);
    connect();
  }

  port::Executor& executor_;
  HostCredentials credentials_;
  const HostLinkOptions options_;
  Rng rng_;
  std::shared_ptr<UnderWay> under_way_ = std::make_shared<UnderWay>();
  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<HostStream> stream_;
  // Of the certificate before, until the new one is admitted.
  std::shared_ptr<HostStream> previous_;
  std::shared_ptr<Renewal> renewal_;
  std::uint64_t stream_number_ = 0;
  std::size_t next_address_ = 0;
  Milliseconds pause_ms_ = 0;
  // By address, what was said of it last.
  std::map<std::string, std::string> troubles_;
  bool admitted_ = false;
  bool stopped_ = false;
  // Of the thread that stops it.
  bool asked_to_stop_ = false;
};

GrpcHostLink::GrpcHostLink(port::Executor& executor, HostCredentials credentials, HostLinkOptions options)
    : client_(std::make_shared<Client>(executor, std::move(credentials), std::move(options))) {}

GrpcHostLink::~GrpcHostLink() { stop(); }

void GrpcHostLink::start() { client_->start(); }

void GrpcHostLink::stop() { client_->stop(); }

void GrpcHostLink::send(const v1::FromHost& message) { client_->send(message); }

void GrpcHostLink::on_message(std::function<void(const v1::ToHost&)> handler) {
  client_->message_handler = std::move(handler);
}

void GrpcHostLink::on_connection(std::function<void(bool)> handler) {
  client_->connection_handler = std::move(handler);
}

}  // namespace gantry::link
