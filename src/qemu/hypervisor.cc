#include "qemu/hypervisor.h"

#include <utility>
#include <vector>

#include "base/id.h"
#include "qemu/console_hub.h"
#include "qemu/guest.h"
#include "qemu/guest_directory.h"
#include "runtime/event_loop.h"
#include "runtime/report.h"
#include "runtime/worker_pool.h"

namespace gantry::qemu {
namespace {

constexpr Milliseconds kTrimEveryMs = 60'000;
constexpr Milliseconds kFindAgainMs = 5'000;

}  // namespace

// The first round of observations.
struct QemuHypervisor::Round {
  std::size_t left = 0;
  std::function<void()> complete;
};

QemuHypervisor::QemuHypervisor(runtime::EventLoop& loop, runtime::WorkerPool& workers, const Cgroups& cgroups,
                               ConsoleHub& consoles, EngineOptions options)
    : engine_(std::make_shared<Engine>(Engine{loop, workers, cgroups, consoles, std::move(options), {}})),
      self_(std::make_shared<QemuHypervisor*>(this)) {}

QemuHypervisor::~QemuHypervisor() { engine_->observer = nullptr; }

void QemuHypervisor::observe(std::function<void(const port::GuestObservation&)> observer,
                             std::function<void()> complete) {
  engine_->observer = std::move(observer);
  auto round = std::make_shared<Round>();
  round->complete = std::move(complete);
  find_guests(round);
  trim_logs_now_and_then();
}

void QemuHypervisor::find_guests(const std::shared_ptr<Round>& round) {
  engine_->workers.submit([engine = engine_, round, weak = std::weak_ptr(self_)] {
    auto ids = guests_in(engine->options.state_directory);
    engine->loop.post([engine, ids = std::move(ids), round, weak] {
      const auto self = weak.lock();
      if (!self) return;
      if (!ids) {
        runtime::report_problem("the virtual machines of this host cannot be found yet: " + ids.error().to_text());
        engine->loop.post_after(kFindAgainMs, [round, weak] {
          if (const auto still = weak.lock()) (*still)->find_guests(round);
        });
        return;
      }
      // One more than there are guests, for ourselves.
      round->left = ids->size() + 1;
      for (const auto& vm_id : *ids) (*self)->find(vm_id, round);
      (*self)->find({}, round);
    });
  });
}

void QemuHypervisor::find(const std::string& vm_id, const std::shared_ptr<Round>& round) {
  const auto finished = [round, weak = std::weak_ptr(self_)] {
    if (--round->left > 0) return;
    const auto self = weak.lock();
    if (!self) return;
    (*self)->complete_ = true;
    round->complete();
  };
  if (vm_id.empty()) {
    finished();
    return;
  }
  const auto guest = std::make_shared<Guest>(engine_, vm_id);
  guests_[vm_id] = guest;
  guest->find(finished);
}

port::Done QemuHypervisor::posted(port::Done done) const {
  return [&loop = engine_->loop, done = std::move(done)](const Result<void>& answer) {
    loop.post([done, answer] { done(answer); });
  };
}

std::shared_ptr<Guest> QemuHypervisor::guest_for(const std::string& vm_id, port::Done& done) {
  done = posted(std::move(done));
  if (!complete_) {
    done(fail(ErrorCode::unavailable, "the hypervisor is still looking for its guests", {}, "try again in a second"));
    return nullptr;
  }
  if (!is_id(vm_id, "vm")) {
    done(fail(ErrorCode::invalid_argument, "\"" + vm_id + "\" is no virtual machine's id"));
    return nullptr;
  }
  auto& guest = guests_[vm_id];
  if (!guest) guest = std::make_shared<Guest>(engine_, vm_id);
  return guest;
}

void QemuHypervisor::start(const port::GuestDefinition& guest, port::Done done) {
  if (const auto found = guest_for(guest.vm_id, done)) found->start(guest, std::move(done));
}

void QemuHypervisor::power_down(const std::string& vm_id, port::Done done) {
  if (const auto guest = guest_for(vm_id, done)) guest->power_down(std::move(done));
}

void QemuHypervisor::kill(const std::string& vm_id, port::Done done) {
  if (const auto guest = guest_for(vm_id, done)) guest->kill(std::move(done));
}

void QemuHypervisor::pause(const std::string& vm_id, port::Done done) {
  if (const auto guest = guest_for(vm_id, done)) guest->pause(std::move(done));
}

void QemuHypervisor::resume(const std::string& vm_id, port::Done done) {
  if (const auto guest = guest_for(vm_id, done)) guest->resume(std::move(done));
}

void QemuHypervisor::reset(const std::string& vm_id, const std::string& reset_id, port::Done done) {
  if (const auto guest = guest_for(vm_id, done)) guest->reset(reset_id, std::move(done));
}

void QemuHypervisor::forget(const std::string& vm_id, port::Done done) {
  const auto guest = guest_for(vm_id, done);
  if (!guest) return;
  guest->forget([weak = std::weak_ptr(self_), vm_id, done = std::move(done)](const Result<void>& forgotten) {
    const auto self = weak.lock();
    if (self && forgotten) (*self)->guests_.erase(vm_id);
    done(forgotten);
  });
}

template <class T>
std::shared_ptr<Guest> QemuHypervisor::guest_for(const std::string& vm_id, std::function<void(Result<T>)>& done) {
  done = [&loop = engine_->loop, done = std::move(done)](const Result<T>& answer) {
    loop.post([done, answer] { done(answer); });
  };
  port::Done refused = [done](const Result<void>& answer) { done(fail(answer.error())); };
  return guest_for(vm_id, refused);
}

void QemuHypervisor::receive(const port::GuestDefinition& guest, const std::string& listen_address,
                             const port::MoveTerms& terms, port::ListeningDone done) {
  if (const auto found = guest_for(guest.vm_id, done)) {
    found->receive(guest, listen_address, terms, std::move(done));
  }
}

void QemuHypervisor::measure(const std::string& vm_id, std::function<void(Result<std::uint64_t>)> done) {
  if (const auto guest = guest_for(vm_id, done)) guest->measure(std::move(done));
}

void QemuHypervisor::send(const std::string& vm_id, const port::MoveRequest& request,
                          std::function<void(const port::MoveProgress&)> progress, port::Done done) {
  if (const auto guest = guest_for(vm_id, done)) guest->send(request, std::move(progress), std::move(done));
}

void QemuHypervisor::stop_sending(const std::string& vm_id) {
  const auto guest = guests_.find(vm_id);
  if (guest != guests_.end()) guest->second->stop_sending();
}

void QemuHypervisor::take_over(const std::string& vm_id, bool runs, port::Done done) {
  if (const auto guest = guest_for(vm_id, done)) guest->take_over(runs, std::move(done));
}

void QemuHypervisor::copy_disk(const std::string& vm_id, const port::DiskCopyRequest& request,
                               std::function<void(const port::DiskCopyProgress&)> progress, port::Done done) {
  if (const auto guest = guest_for(vm_id, done)) guest->copy_disk(request, std::move(progress), std::move(done));
}

void QemuHypervisor::stop_copying(const std::string& vm_id) {
  const auto guest = guests_.find(vm_id);
  if (guest != guests_.end()) guest->second->stop_copying();
}

void QemuHypervisor::trim_logs_now_and_then() {
  engine_->loop.post_after(kTrimEveryMs, [weak = std::weak_ptr(self_)] {
    const auto self = weak.lock();
    if (!self) return;
    for (const auto& [vm_id, guest] : (*self)->guests_) {
      if (!guest->absent()) guest->trim_logs();
    }
    (*self)->trim_logs_now_and_then();
  });
}

}  // namespace gantry::qemu
