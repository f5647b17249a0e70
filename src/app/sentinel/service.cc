#include "app/sentinel/service.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "runtime/report.h"

namespace gantry::sentinel {
namespace {

// An agent that restarts is back sooner.
constexpr int kIdleBeats = 10;
// A pool that hangs does not keep a sentinel without guests.
constexpr int kIdleBeatsMax = 40;
// A client that does not read what it is told.
constexpr std::size_t kUnsentMax = 4U << 20U;
// Without free descriptors nobody is taken before some are given back.
constexpr Milliseconds kAcceptAgainMs = 100;
constexpr off_t kLogBytesMax = 1 << 20;

// It may go on for months.
void keep_log_small() {
  struct stat facts {};
  const bool large = ::fstat(STDERR_FILENO, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > kLogBytesMax;
  if (large && ::ftruncate(STDERR_FILENO, 0) != 0) runtime::report_problem("the sentinel's log cannot be begun anew");
}

}  // namespace

std::string socket_path(const std::string& state_directory) { return state_directory + "/sentinel/socket"; }

Service::Service(SharedFiles files, std::string state_directory, runtime::BootTimer timer,
                 std::optional<Inheritance> inheritance)
    : files_(std::move(files)),
      state_directory_(std::move(state_directory)),
      partner_(loop_, files_, state_directory_),
      keeper_(loop_, std::move(timer), state_directory_) {
  keeper_.changed = [this] { partner_.tell(keeper_.handover()); };
  keeper_.observer = [this](const port::LeaseObservation& seen) {
    const std::string line = to_line(Answer{.lease = seen, .removed_vm_id = {}, .error = {}});
    for (const auto& client : clients_) {
      if (client->stream && client->stream->unsent() < kUnsentMax) client->stream->send(line);
    }
  };
  if (inheritance) keeper_.take_over(inheritance->handover);
  accept_clients();
  beat();
}

void Service::run() { loop_.run(); }

void Service::accept_clients() {
  UniqueFd watched(::fcntl(files_.listener.get(), F_DUPFD_CLOEXEC, 0));
  if (!watched.valid()) return accept_later();
  listener_watch_ = qemu::watch_readable(loop_, std::move(watched), [this] {
    if (accept_one()) {
      accept_clients();
    } else {
      accept_later();
    }
  });
}

void Service::accept_later() {
  loop_.post_after(kAcceptAgainMs, [this] { accept_clients(); });
}

bool Service::accept_one() {
  UniqueFd connected(::accept4(files_.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connected.valid()) return false;
  auto client = std::make_shared<Client>();
  clients_.push_back(client);
  client->stream = qemu::open_stream(loop_, std::move(connected),
                                     {.on_bytes =
                                          [this, weak = std::weak_ptr(client)](std::string_view bytes) {
                                            const auto self = weak.lock();
                                            if (!self) return;
                                            const bool sane = self->lines.add(
                                                bytes, [&](std::string_view line) { take(self, line); });
                                            if (!sane) leave(self);
                                          },
                                      .on_closed =
                                          [this, weak = std::weak_ptr(client)] {
                                            if (const auto self = weak.lock()) leave(self);
                                          }});
  return true;
}

void Service::leave(const std::shared_ptr<Client>& client) {
  if (client->stream) client->stream->close();
  clients_.remove(client);
}

void Service::take(const std::shared_ptr<Client>& client, std::string_view line) {
  auto request = parse_request(line);
  if (!request) return runtime::report_problem(request.error().to_text());
  if (request->kind == Request::Kind::want) return keeper_.want(request->wish);
  keeper_.remove(request->wish, [weak = std::weak_ptr(client), vm_id = request->wish.vm_id](const Result<void>& done) {
    const auto self = weak.lock();
    if (!self || !self->stream) return;
    Answer answer{.lease = {}, .removed_vm_id = vm_id, .error = {}};
    if (!done) answer.error = done.error();
    self->stream->send(to_line(answer));
  });
}

void Service::beat() {
  keep_log_small();
  partner_.beat();
  // Who does not hear from it knows that it hangs.
  for (const auto& client : clients_) {
    if (client->stream && client->stream->unsent() < kUnsentMax) client->stream->send("\n");
  }
  const bool idle = clients_.empty() && !keeper_.guards_any();
  idle_beats_ = idle ? idle_beats_ + 1 : 0;
  if (idle_beats_ >= kIdleBeats && (keeper_.rest() || idle_beats_ >= kIdleBeatsMax)) {
    partner_.tell(Handover{.wards = {}, .end = true});
    loop_.post_after(50, [this] { loop_.stop(); });
    return;
  }
  loop_.post_after(kHeartbeatMs, [this] { beat(); });
}

}  // namespace gantry::sentinel
