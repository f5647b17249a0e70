// Drives the machines of this host: one pass looks at every object, begins the calls that are due and tells what
// changed. Internal to src/host; use host_core.h.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "host/host_core.h"
#include "host/metering.h"
#include "host/table.h"

namespace gantry::host {

class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(const Ports& ports, Options options) : ports_(ports), options_(std::move(options)) {}
  void start();

 private:
  // core.cc: events in, passes, times.
  void on_message(const v1::ToHost& message);
  void on_connection(bool connected);
  void on_guest(const port::GuestObservation& guest);
  void probe_facts();
  void every_few_seconds();
  void touch();
  void pass();
  void wake_at(std::optional<Milliseconds> time_ms);
  void log(std::string_view line) const;
  [[nodiscard]] Now now() const { return ports_.executor.now(); }

  // core_report.cc: what the manager is told.
  void report();
  void say_hello();
  void tell_gone(const Table::Gone& gone);
  void send(v1::FromHost message);
  void forget_told();
  void measure_use();
  void tell_use(const port::Counters& counters);
  template <class Record, class Status>
  void add_if_new(v1::FromHost& message, const std::string& id, Record& object, const Status& status);

  // core_vm.cc
  void tend_vms();
  void carry_out(const std::string& id, VmObject& vm, const VmPlan& plan);
  void kill(const std::string& id, VmObject& vm);
  void attach_nic(const std::string& id, VmObject& vm);
  void make_seed(const std::string& id, VmObject& vm);
  void start_guest(const std::string& id, VmObject& vm);
  void power_down(const std::string& id, VmObject& vm);
  void detach(const std::string& id, VmObject& vm);
  void note_vm_failure(VmObject& vm, const Error& error, const std::string& operation_id);
  port::Done vm_done(const std::string& id, std::string operation_id, std::function<void(VmObject&)> on_success);
  // core_move.cc
  void receive(const std::string& id, VmObject& vm);
  void measure(const std::string& id, VmObject& vm);
  [[nodiscard]] std::uint64_t bytes_to_copy(const v1::Vm& vm) const;
  void send_guest(const std::string& id, VmObject& vm);
  void note_progress(const std::string& id, const port::MoveProgress& progress);
  void take_over(const std::string& id, VmObject& vm);
  // core_disk_move.cc
  // Its guest has the copy open, or may have.
  [[nodiscard]] bool is_copying(const std::string& id) const;
  void need_copy(const VmObject& vm, VmNeeds& needs) const;
  void copy_disk(const std::string& id, VmObject& vm);
  void note_copied(const std::string& id, const port::DiskCopyProgress& told);
  // core_vm.cc
  [[nodiscard]] port::GuestObservation guest_of(const std::string& id) const;
  [[nodiscard]] VmNeeds needs_of(const VmObject& vm) const;
  void need_disk(const VmObject& vm, const v1::VmDisk& disk, VmNeeds& needs) const;
  void need_image(const VmObject& vm, VmNeeds& needs) const;
  void need_networks(const VmObject& vm, VmNeeds& needs) const;
  [[nodiscard]] VmInput vm_input(const VmObject& vm, const port::GuestObservation& guest, const VmNeeds& needs) const;
  [[nodiscard]] port::GuestDefinition define(const VmObject& vm) const;

  // core_storage.cc
  void tend_volumes();
  void tend_images();
  void tend_pools();
  void carry_out(const std::string& id, VolumeObject& volume, const VolumePlan& plan);
  void carry_out(const std::string& id, ImageObject& image, const ImagePlan& plan);
  void inspect_pool(const std::string& id, PoolObject& pool);
  // Whether it is to be forgotten at once.
  bool let_go(const std::string& id, PoolObject& pool);
  void pool_gone(const std::string& id);
  void pool_inspected(const std::string& id, const Result<v1::PoolStatus>& result);
  // Where it lies: a path, or what stands for one.
  [[nodiscard]] std::string place_of(const v1::Pool& pool) const;
  [[nodiscard]] port::PoolRequest pool_request(const std::string& id) const;
  [[nodiscard]] v1::PoolStatus pool_status(const std::string& id, const PoolObject& pool) const;
  void volume_missed(VolumeObject& volume);
  void image_missed(ImageObject& image);
  port::VolumeDone volume_done(const std::string& id, VolumeStep step, std::uint32_t uid);
  port::ImageDone image_done(const std::string& id, ImageStep step);
  [[nodiscard]] VolumeInput volume_input(const VolumeObject& volume) const;
  [[nodiscard]] ImageInput image_input(const ImageObject& image) const;
  [[nodiscard]] port::VolumeRequest request_of(const VolumeObject& volume) const;
  [[nodiscard]] port::ImageRequest request_of(const ImageObject& image) const;
  [[nodiscard]] std::string volume_user(const std::string& volume_id) const;
  [[nodiscard]] std::string leaving_guest() const;
  [[nodiscard]] std::uint32_t volume_uid(const VolumeObject& volume) const;
  [[nodiscard]] const PoolObject* find_pool(const std::string& id) const;
  [[nodiscard]] bool is_shared(const std::string& pool_id) const;
  // What is not there now though it was made: on a file system that hosts share it may only not be seen yet.
  [[nodiscard]] static Error not_seen(std::string_view what, const std::string& path, const char* reason);
  void pool_is_back(const std::string& pool_id);
  void pool_changed(const std::string& pool_id);

  // core_lease.cc
  void tend_lease(const std::string& id, VmObject& vm, const port::GuestObservation& guest);
  void remove_lease(const std::string& id, VmObject& vm);
  void on_lease(const port::LeaseObservation& lease);
  void need_lease(const VmObject& vm, VmNeeds& needs) const;
  [[nodiscard]] std::string lease_pool(const VmObject& vm) const;
  void add_ceph_images(const VmObject& vm, port::LeaseWish& wish) const;
  [[nodiscard]] std::optional<port::LeaseWish> lease_wish(const VmObject& vm) const;

  // core_network.cc
  void tend_networks();
  void carry_out(const std::string& id, NetworkObject& network, NetworkStep step);
  [[nodiscard]] NetworkInput network_input(const NetworkObject& network) const;
  void tend_overlay(const std::string& id, NetworkObject& network);

  // core_groups.cc
  void tend_groups();
  void set_groups(const std::string& id, VmObject& vm);
  [[nodiscard]] port::NicRequest nic_request(const std::string& id, const VmObject& vm, std::uint32_t index) const;

  // Whether that guest runs, may run or is being started.
  [[nodiscard]] bool may_run(const std::string& id, const VmObject& vm) const;
  // Whether its boot is still to come.
  [[nodiscard]] bool waits_to_run(const std::string& id, const VmObject& vm) const;
  // What uses a thing that is about to be taken away; "" when nothing does and everything is known.
  [[nodiscard]] std::string user_of(const std::function<bool(const v1::Vm&)>& uses) const;

  // Calls `work(core, arguments...)` unless the core is gone by then.
  template <class Work>
  auto alive(Work work) {
    return [weak = weak_from_this(), work = std::move(work)](auto&&... arguments) {
      if (const auto self = weak.lock()) work(*self, std::forward<decltype(arguments)>(arguments)...);
    };
  }

  Ports ports_;
  Options options_;
  Table table_;
  std::map<std::string, port::GuestObservation> guests_;
  std::map<std::string, port::LeaseObservation> leases_;
  bool guests_known_ = false;
  // All assignments came at least once.
  bool assignments_known_ = false;
  bool connected_ = false;
  // All assignments came over this connection.
  bool greeted_ = false;
  v1::HostStatus host_status_;
  std::optional<v1::HostStatus> host_told_;
  bool host_probed_ = false;
  Milliseconds told_all_at_ms_ = 0;
  Milliseconds probed_at_ms_ = 0;
  std::uint64_t sequence_ = 0;
  Table::Gone gone_;
  Metering metering_;
  std::set<std::string> orphans_logged_;
  bool pass_posted_ = false;
  std::optional<Milliseconds> wake_at_ms_;
};

}  // namespace gantry::host
