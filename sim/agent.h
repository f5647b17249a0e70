// One run of the host agent: the real HostCore over adapters modelled on the host's world. Destroying it is a crash: of
// the calls under way some had their effect and some had not, and nobody is told.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "host/host_core.h"
#include "port/disk_copy.h"
#include "port/link.h"
#include "port/move.h"
#include "sim/host_world.h"
#include "sim/shared_files.h"
#include "sim/stage.h"

namespace gantry::sim {

class Agent final : public port::Hypervisor,
                    public port::Mover,
                    public port::DiskCopier,
                    public port::HostFacts,
                    public port::Storage,
                    public port::Network,
                    public port::Sentinel,
                    public port::Meters {
 public:
  Agent(Stage& stage, HostWorld& world, port::HostLink& link, const host::Options& options);
  ~Agent() override;

  // port::Hypervisor
  void observe(std::function<void(const port::GuestObservation&)> observer, std::function<void()> complete) override;
  void start(const port::GuestDefinition& guest, port::Done done) override;
  void power_down(const std::string& vm_id, port::Done done) override;
  void kill(const std::string& vm_id, port::Done done) override;
  void pause(const std::string& vm_id, port::Done done) override;
  void resume(const std::string& vm_id, port::Done done) override;
  void reset(const std::string& vm_id, const std::string& reset_id, port::Done done) override;
  void forget(const std::string& vm_id, port::Done done) override;
  // port::Mover
  void receive(const port::GuestDefinition& guest, const std::string& listen_address, const port::MoveTerms& terms,
               port::ListeningDone done) override;
  void measure(const std::string& vm_id, std::function<void(Result<std::uint64_t>)> done) override;
  void send(const std::string& vm_id, const port::MoveRequest& request,
            std::function<void(const port::MoveProgress&)> progress, port::Done done) override;
  void stop_sending(const std::string& vm_id) override;
  void take_over(const std::string& vm_id, bool runs, port::Done done) override;
  // port::DiskCopier
  void copy_disk(const std::string& vm_id, const port::DiskCopyRequest& request,
                 std::function<void(const port::DiskCopyProgress&)> progress, port::Done done) override;
  void stop_copying(const std::string& vm_id) override;
  // port::Sentinel
  void observe(std::function<void(const port::LeaseObservation&)> observer) override;
  void want(const port::LeaseWish& wish) override;
  void remove(const port::LeaseWish& wish, port::Done done) override;
  // port::HostFacts
  void probe(std::function<void(const v1::HostStatus&)> done) override;
  // port::Meters
  void read(std::function<void(port::Counters)> done) override;
  // port::Storage
  void inspect_pool(const port::PoolRequest& request, std::function<void(Result<v1::PoolStatus>)> done) override;
  void release_pool(const port::PoolRequest& request, port::Done done) override;
  void create_volume(const port::VolumeRequest& request, port::ProgressCallback progress,
                     port::VolumeDone done) override;
  void inspect_volume(const port::VolumeRequest& request, port::VolumeDone done) override;
  void resize_volume(const port::VolumeRequest& request, port::VolumeDone done) override;
  void delete_volume(const port::VolumeRequest& request, port::Done done) override;
  void import_image(const port::ImageRequest& request, port::ProgressCallback progress, port::ImageDone done) override;
  void inspect_image(const port::ImageRequest& request, port::ImageDone done) override;
  void delete_image(const port::ImageRequest& request, port::Done done) override;
  void make_seed(const std::string& vm_id, std::uint32_t uid, const std::map<std::string, std::string>& files,
                 std::function<void(Result<std::string>)> done) override;
  void delete_seed(const std::string& vm_id, port::Done done) override;
  void delete_tpm(const port::PoolRequest& pool, const std::string& vm_id, port::Done done) override;
  // port::Network
  void ensure_network(const v1::Network& network, std::function<void(Result<port::NetworkFacts>)> done) override;
  void set_overlay(const v1::Network& network, std::vector<v1::OverlayEntry> entries, port::Done done) override;
  void set_groups(const port::NicRequest& request, port::Done done) override;
  void remove_network(const v1::Network& network, port::Done done) override;
  void attach(const port::NicRequest& request, std::function<void(Result<port::GuestNic>)> done) override;
  void detach(const std::string& vm_id, port::Done done) override;

 private:
  enum class Fault { none, transient, definite };
  [[nodiscard]] Fault draw_fault();
  [[nodiscard]] Milliseconds draw_delay(Milliseconds usual_ms);
  [[nodiscard]] static Error error_of(Fault fault);
  // Answers `effect`'s result after some time, or a failure without it. `when_crashed`: instead of `effect`, if the
  // agent dies before.
  template <class Value>
  void run(const std::string& what, Milliseconds usual_ms, std::function<Result<Value>()> effect,
           std::function<void(Result<Value>)> done, std::function<void()> when_crashed = {}, bool may_fail = true);
  // The same, when the disk has its part in it.
  template <class Value>
  void run_on_disk(const std::string& what, Milliseconds usual_ms, std::function<Result<Value>()> effect,
                   std::function<void(Result<Value>)> done);

  void hear_of_moves();
  void hear_of_copies();
  // As run_on_disk(), but answered at once when `object` is being deleted meanwhile, and then without any effect.
  template <class Value>
  void run_unless_deleted(const std::string& object, const std::string& what, Milliseconds usual_ms,
                          std::function<Result<Value>()> effect, std::function<void(Result<Value>)> done);
  void cut_short(const std::string& object);
  std::set<std::string>& tpms_at(const std::string& pool_path);
  void make_tpm(const port::GuestDefinition& guest, bool incoming);
  // What lies in a shared pool is no part of the host.
  template <class Request, class Work>
  auto in_pool(const Request& request, Work work) {
    return request.pool.shared_id.empty() ? work(world_) : work(shared_);
  }

  Scheduler& scheduler_;
  Trace& trace_;
  Rng& rng_;
  const Swarm& swarm_;
  HostWorld& world_;
  SharedFiles& shared_;
  SimExecutor executor_;
  std::map<std::uint64_t, std::function<void()>> under_way_;
  std::uint64_t calls_ = 0;
  // Volumes and images being made, and how to answer that at once.
  std::map<std::string, std::function<void()>> making_;
  std::function<void(const port::GuestObservation&)> observer_;
  struct Sent {
    std::function<void(const port::MoveProgress&)> progress;
    port::Done done;
  };
  // Of guests that are being sent.
  std::map<std::string, Sent> sent_;
  // Of guests that have a disk copied.
  std::map<std::string, port::Done> copied_;
  std::map<std::string, port::LeaseWish> lease_wishes_;
  std::unique_ptr<host::HostCore> core_;
};

}  // namespace gantry::sim
