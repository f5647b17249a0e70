// The records assigned to this host, as they were assigned last, each with what this run of the agent remembers of it.
// Iteration is in order of ids everywhere: the same events give the same decisions.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "gantry/v1/link.pb.h"
#include "host/image_machine.h"
#include "host/network_machine.h"
#include "host/pool_machine.h"
#include "host/vm_machine.h"
#include "host/volume_machine.h"

namespace gantry::host {

template <class Record, class Memory, class Step>
struct Object {
  Record wanted;
  Memory memory = {};
  // One port call at a time.
  Step under_way = Step::none;
  // Another host keeps it: nothing is done to it here, and nothing told of it.
  bool look_only = false;
  // A call that cuts the one under way short.
  bool cut_short = false;
  // The status as it was told last, in wire form.
  std::string told = {};
};

// The security groups of a VM's NICs, which change without its record.
struct GroupsWanted {
  std::vector<v1::AssignedGroup> groups;
  // Grows with each change of them, or of which NIC has which.
  std::uint64_t version = 1;
  // The version that its NICs were given last.
  std::uint64_t given = 0;
  bool under_way = false;
  MaybeTrouble trouble = {};
};

// Where the NICs of an overlay on other hosts are.
struct OverlayWanted {
  std::vector<v1::OverlayEntry> entries;
  std::uint64_t version = 1;
  std::uint64_t given = 0;
  bool under_way = false;
  MaybeTrouble trouble = {};
};

struct VmObject : Object<v1::Vm, VmMemory, VmStep> {
  GroupsWanted groups = {};
};
using VolumeObject = Object<v1::Volume, VolumeMemory, VolumeStep>;
using ImageObject = Object<v1::Image, ImageMemory, ImageStep>;
struct NetworkObject : Object<v1::Network, NetworkMemory, NetworkStep> {
  OverlayWanted overlay = {};
};
using PoolObject = Object<v1::Pool, PoolMemory, PoolStep>;

// Why an image will not come by itself; nothing: it may.
std::optional<v1::Problem> lasting_problem(const ImageObject& image);

class Table {
 public:
  std::map<std::string, VmObject> vms;
  std::map<std::string, VolumeObject> volumes;
  std::map<std::string, ImageObject> images;
  std::map<std::string, NetworkObject> networks;
  std::map<std::string, PoolObject> pools;

  // The ids of records of which nothing is left here, each with the leave that is over by it; 0: it was deleted.
  using Gone = std::map<std::string, std::uint64_t>;

  // Takes in what a message assigns, but for what is older than what is here. Answers what is to be deleted or left and
  // of which nothing is left since: to be told again.
  Gone apply(const v1::ToHost& message, const std::string& host_id, const std::function<void(std::string_view)>& log);
  // Nothing of it is left on the host: from now on late assignments of it change nothing.
  void bury(const std::string& id);
  // Nothing of the VM is left on the host, which was to delete or leave it. Answers the leave.
  std::uint64_t let_go(const std::string& vm_id, const std::string& host_id);
  // What was assigned over another connection cannot come late any more.
  // Nor do revisions hold on: the store may be another since, which counts anew.
  void begin_connection() {
    graves_.clear();
    left_.clear();
    newest_sequence_ = 0;
    sequences_.clear();
    const auto forget = [](auto& objects) {
      for (auto& [id, object] : objects) object.wanted.mutable_meta()->clear_revision();
    };
    std::apply([&](auto&... kinds) { (forget(kinds), ...); }, std::tie(vms, volumes, images, networks, pools));
  }

 private:
  void apply_vm(const v1::Assignment& assignment, std::uint64_t sequence, const std::string& host_id,
                const std::function<void(std::string_view)>& log);
  void apply_network(const v1::Assignment& assignment, std::uint64_t sequence);
  // Whether the host has left that VM since; `gone` gets what is to be told again.
  bool was_left(const v1::Vm& vm, const std::string& host_id, Gone& gone);
  bool is_latest(const std::string& id, std::uint64_t sequence);
  void apply_volume(const v1::Volume& volume, bool look_only);
  void apply_image(const v1::Image& image, bool look_only);
  // Whether what another host may keep is to be taken in: what is assigned late may be of an earlier keeper.
  template <class Record>
  bool is_current(const Record& record, bool look_only, const std::string& host_id,
                  const std::function<void(std::string_view)>& log);
  void prepare_disks(const v1::Vm& vm);
  void keep_only(const std::set<std::string>& ids);

  std::set<std::string> graves_;
  // VMs that left, by the revision that said so: what is older comes late.
  std::map<std::string, std::uint64_t> left_;
  // Of this connection: what "all there are" means in an older message says nothing of newer records.
  std::uint64_t newest_sequence_ = 0;
  // By id, the message of this connection that its entries or groups are from.
  std::map<std::string, std::uint64_t> sequences_;
  // Of VMs' placements, and of the keepers of volumes and images.
  std::map<std::string, std::uint64_t> epochs_;
};

// "VM "web"", for texts.
template <class Record>
std::string quoted_name(std::string_view kind, const Record& record) {
  return std::string(kind) + " \"" + record.meta().name() + "\"";
}

}  // namespace gantry::host
