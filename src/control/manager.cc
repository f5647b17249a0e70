#include "control/manager.h"

#include "control/manager_impl.h"

namespace gantry::control {
namespace {
constexpr Milliseconds kMaintainEveryMs = 60'000;
constexpr Milliseconds kExpireEveryMs = 1'000;
constexpr Milliseconds kForgetEveryMs = 60'000;
}  // namespace

ManagerCore::Impl::Impl(port::Store& store, port::ManagerLink& link, port::Executor& executor, ManagerOptions options)
    : store_(store), link_(link), executor_(executor), options_(std::move(options)), rng_(options_.seed) {
  view_.own_hosts = options_.own_hosts;
  view_.cpu_overcommit = options_.cpu_overcommit;
}

void ManagerCore::Impl::start() {
  const auto weak = weak_from_this();
  link_.on_connection([weak](const std::string& host_id, bool connected) {
    if (const auto self = weak.lock()) self->connection_changed(host_id, connected);
  });
  link_.on_message([weak](const v1::FromHost& message) {
    if (const auto self = weak.lock()) self->message_came(message);
  });
  link_.on_admission([weak](const std::string& host_id) {
    const auto self = weak.lock();
    if (!self || !self->loaded_) return port::Standing::not_yet_known;
    return self->is_known(host_id) ? port::Standing::member : port::Standing::stranger;
  });
  load();
  later(options_.host_grace_ms, [](Impl& self) {
    self.may_lose_hosts_ = true;
    for (const auto& [id, host] : self.view_.all<v1::Host>().by_id) self.next_round_.dirty.insert(id);
    self.schedule_round();
  });
  each(options_.resend_ms, &Impl::check_watch);
  each(options_.resend_ms / kResendParts, &Impl::resend_some);
  each(kForgetEveryMs, &Impl::forget_marks);
  each(kMaintainEveryMs, &Impl::maintain);
  each(kExpireEveryMs, &Impl::expire_calls);
}

void ManagerCore::Impl::later(Milliseconds delay_ms, std::function<void(Impl&)> work) {
  executor_.post_after(delay_ms, [weak = weak_from_this(), work = std::move(work)] {
    if (const auto self = weak.lock()) work(*self);
  });
}

void ManagerCore::Impl::each(Milliseconds period_ms, void (Impl::*work)()) {
  later(period_ms, [period_ms, work](Impl& self) {
    (self.*work)();
    self.each(period_ms, work);
  });
}

ManagerCore::ManagerCore(port::Store& store, port::ManagerLink& link, port::Executor& executor, ManagerOptions options)
    : impl_(std::make_shared<Impl>(store, link, executor, std::move(options))) {}

ManagerCore::~ManagerCore() = default;

void ManagerCore::start() { impl_->start(); }

void ManagerCore::call(const std::string& rpc, const google::protobuf::Message& request,
                       const port::CallOptions& options, Answer done) {
  impl_->call(rpc, request, options, std::move(done));
}

bool ManagerCore::ready() const { return impl_->ready(); }
const View& ManagerCore::view() const { return impl_->view(); }

}  // namespace gantry::control
