// port::Hypervisor, port::Mover, port::DiskCopier and port::Meters by real QEMU processes.
//
// Threads: everything on the loop's thread, the destructor too (or after the loop has stopped). The loop, the workers,
// the cgroups and the consoles outlive it. Destroying it leaves all guests running; the next one finds them.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "port/disk_copy.h"
#include "port/metrics.h"
#include "port/move.h"
#include "qemu/engine.h"

namespace gantry::qemu {

class Guest;

class QemuHypervisor final : public port::Hypervisor, public port::Mover, public port::DiskCopier, public port::Meters {
 public:
  QemuHypervisor(runtime::EventLoop& loop, runtime::WorkerPool& workers, const Cgroups& cgroups, ConsoleHub& consoles,
                 EngineOptions options);
  ~QemuHypervisor() override;
  QemuHypervisor(const QemuHypervisor&) = delete;
  QemuHypervisor& operator=(const QemuHypervisor&) = delete;

  // To be called once, before anything else: until `complete`, all other calls fail as unavailable.
  void observe(std::function<void(const port::GuestObservation&)> observer, std::function<void()> complete) override;
  void start(const port::GuestDefinition& guest, port::Done done) override;
  void power_down(const std::string& vm_id, port::Done done) override;
  void kill(const std::string& vm_id, port::Done done) override;
  void pause(const std::string& vm_id, port::Done done) override;
  void resume(const std::string& vm_id, port::Done done) override;
  void reset(const std::string& vm_id, const std::string& reset_id, port::Done done) override;
  void forget(const std::string& vm_id, port::Done done) override;
  void receive(const port::GuestDefinition& guest, const std::string& listen_address, const port::MoveTerms& terms,
               port::ListeningDone done) override;
  void measure(const std::string& vm_id, std::function<void(Result<std::uint64_t>)> done) override;
  void send(const std::string& vm_id, const port::MoveRequest& request,
            std::function<void(const port::MoveProgress&)> progress, port::Done done) override;
  void stop_sending(const std::string& vm_id) override;
  void take_over(const std::string& vm_id, bool runs, port::Done done) override;
  void copy_disk(const std::string& vm_id, const port::DiskCopyRequest& request,
                 std::function<void(const port::DiskCopyProgress&)> progress, port::Done done) override;
  void stop_copying(const std::string& vm_id) override;
  void read(std::function<void(port::Counters)> done) override;

 private:
  struct Round;
  struct MeterRound;

  void find_guests(const std::shared_ptr<Round>& round);
  void find(const std::string& vm_id, const std::shared_ptr<Round>& round);
  // Answers `done` itself and gives nothing when the call cannot be made.
  std::shared_ptr<Guest> guest_for(const std::string& vm_id, port::Done& done);
  template <class T>
  std::shared_ptr<Guest> guest_for(const std::string& vm_id, std::function<void(Result<T>)>& done);
  port::Done posted(port::Done done) const;
  void trim_logs_now_and_then();

  std::shared_ptr<Engine> engine_;
  std::map<std::string, std::shared_ptr<Guest>> guests_;
  bool complete_ = false;
  // What posted work holds on to weakly.
  std::shared_ptr<QemuHypervisor*> self_;
};

}  // namespace gantry::qemu
