#include "host/table.h"

#include <algorithm>

namespace gantry::host {
namespace {

constexpr std::size_t kGravesMax = 10'000;

template <class Record>
bool is_older(const Record& record, const Record& than) {
  return record.meta().revision() < than.meta().revision() || record.meta().generation() < than.meta().generation();
}

// Takes `record` over. Answers whether its spec, or the wish to delete it, is a new one.
template <class Map, class Record>
bool take(Map& map, const Record& record) {
  const auto [place, is_new] = map.try_emplace(record.meta().id());
  if (!is_new && is_older(record, place->second.wanted)) return false;
  const v1::Meta before = place->second.wanted.meta();
  place->second.wanted = record;
  return is_new || before.generation() != record.meta().generation() ||
         before.deletion().task_id() != record.meta().deletion().task_id();
}

// Answers whether it is something else than before.
template <class Message>
bool replace(std::vector<Message>& had, const google::protobuf::RepeatedPtrField<Message>& has) {
  const bool same = std::equal(had.begin(), had.end(), has.begin(), has.end(), [](const Message& a, const Message& b) {
    return a.SerializeAsString() == b.SerializeAsString();
  });
  if (!same) had.assign(has.begin(), has.end());
  return !same;
}

template <class Map>
void erase_others(Map& map, const std::set<std::string>& ids) {
  for (auto it = map.begin(); it != map.end();) {
    const bool stays = ids.contains(it->first) || it->second.under_way != decltype(it->second.under_way){};
    it = stays ? std::next(it) : map.erase(it);
  }
}

const v1::Meta& meta_of(const v1::Assignment& assignment) {
  switch (assignment.record_case()) {
    case v1::Assignment::kVm: return assignment.vm().meta();
    case v1::Assignment::kVolume: return assignment.volume().meta();
    case v1::Assignment::kImage: return assignment.image().meta();
    case v1::Assignment::kNetwork: return assignment.network().meta();
    case v1::Assignment::kPool: return assignment.pool().meta();
    case v1::Assignment::RECORD_NOT_SET: break;
  }
  return v1::Meta::default_instance();
}

bool has_pool(const v1::PoolSpec& spec, const std::string& host_id) {
  if (!spec.shared()) return spec.host_id() == host_id;
  return spec.hosts().empty() || std::find(spec.hosts().begin(), spec.hosts().end(), host_id) != spec.hosts().end();
}

}  // namespace

std::optional<v1::Problem> lasting_problem(const ImageObject& image) {
  const v1::ImageStatus& status = image.wanted.status();
  if (image.look_only) {
    return status.state() == v1::ImageStatus::FAILED ? std::optional(status.problem()) : std::nullopt;
  }
  const MaybeTrouble& trouble = image.memory.trouble;
  return trouble && trouble->definite ? std::optional(trouble->problem) : std::nullopt;
}

void Table::bury(const std::string& id) {
  if (graves_.size() >= kGravesMax) graves_.erase(graves_.begin());
  graves_.insert(id);
}

// A boot asked for anew looks at everything it needs with fresh eyes: what failed before may work now, and what was
// there before may be gone.
void Table::prepare_disks(const v1::Vm& vm) {
  for (const v1::VmDisk& disk : vm.spec().disks()) {
    const auto volume = volumes.find(disk.volume());
    if (volume == volumes.end() || volume->second.under_way != VolumeStep::none) continue;
    volume->second.memory.presence = Presence::unknown;
    volume->second.memory.trouble.reset();
    const auto image = images.find(volume->second.wanted.spec().image());
    if (image != images.end()) image->second.memory.trouble.reset();
  }
  const auto image = images.find(vm.spec().image());
  if (image != images.end()) image->second.memory.trouble.reset();
  for (const v1::VmNic& nic : vm.spec().nics()) {
    const auto network = networks.find(nic.network());
    if (network != networks.end()) network->second.memory.trouble.reset();
  }
}

// Whether a message of this connection that came before it said something newer of that record.
bool Table::is_latest(const std::string& id, std::uint64_t sequence) {
  std::uint64_t& newest = sequences_[id];
  if (sequence < newest) return false;
  newest = sequence;
  return true;
}

void Table::apply_network(const v1::Assignment& assignment, std::uint64_t sequence) {
  const std::string& id = assignment.network().meta().id();
  if (take(networks, assignment.network())) networks[id].memory.trouble.reset();
  OverlayWanted& overlay = networks[id].overlay;
  if (is_latest(id, sequence) && replace(overlay.entries, assignment.overlay_entries())) ++overlay.version;
}

void Table::apply_vm(const v1::Assignment& assignment, std::uint64_t sequence, const std::string& host_id,
                     const std::function<void(std::string_view)>& log) {
  const v1::Vm& vm = assignment.vm();
  const std::string& id = vm.meta().id();
  const std::string& placed_on = vm.placement().host_id();
  std::uint64_t& epoch = epochs_[id];
  if (vm.placement().epoch() < epoch || role_of(vm, host_id) == VmRole::stranger) {
    log("refused an assignment of VM " + id + ": it is for host \"" + placed_on + "\" at placement epoch " +
        std::to_string(vm.placement().epoch()) + ", seen was epoch " + std::to_string(epoch));
    return;
  }
  epoch = vm.placement().epoch();
  const auto known = vms.find(id);
  const std::string boot_before = known == vms.end() ? vm.status().boot_id() : known->second.wanted.spec().boot_id();
  const bool is_new = take(vms, vm);
  GroupsWanted& groups = vms[id].groups;
  if (is_latest(id, sequence) && replace(groups.groups, assignment.groups())) ++groups.version;
  if (!is_new) return;
  // Which NIC has which may be what changed.
  ++groups.version;
  VmMemory& memory = vms[id].memory;
  if (memory.trouble && !memory.trouble->definite) memory.trouble.reset();
  memory.cleanup_trouble.reset();
  // Whoever asks for something of a guest that QEMU holds wants it tried now.
  if (memory.held_resume_at_ms) memory.held_resume_at_ms = 0;
  const bool wants_boot = vm.spec().power() != v1::VmSpec::STOPPED && !vm.meta().has_deletion();
  if (wants_boot && vm.spec().boot_id() != boot_before) prepare_disks(vm);
}

template <class Record>
bool Table::is_current(const Record& record, bool look_only, const std::string& host_id,
                       const std::function<void(std::string_view)>& log) {
  if (!record.has_keeper() && !look_only) return true;
  const v1::Keeper& keeper = record.keeper();
  std::uint64_t& epoch = epochs_[record.meta().id()];
  if (keeper.epoch() < epoch || look_only == (keeper.host_id() == host_id)) {
    log("refused an assignment of " + record.meta().id() + ": its keeper is \"" + keeper.host_id() + "\" at epoch " +
        std::to_string(keeper.epoch()) + ", seen was epoch " + std::to_string(epoch));
    return false;
  }
  epoch = keeper.epoch();
  return true;
}

namespace {

// Who comes to keep a thing looks at it with fresh eyes, and so does who kept it: another changes it meanwhile.
template <class Object>
bool change_hands(Object& object, bool look_only, bool was_there) {
  const bool changes = object.look_only != look_only;
  object.look_only = look_only;
  if (!changes || !was_there) return changes;
  object.memory.presence = Presence::unknown;
  object.memory.trouble.reset();
  object.told.clear();
  return true;
}

}  // namespace

void Table::apply_volume(const v1::Volume& volume, bool look_only) {
  const bool was_there = volumes.contains(volume.meta().id());
  const bool is_new = take(volumes, volume);
  VolumeObject& object = volumes[volume.meta().id()];
  // Late, and older than what is here.
  if (object.wanted.meta().revision() != volume.meta().revision()) return;
  const bool changes = change_hands(object, look_only, was_there);
  if (!is_new && !changes) return;
  object.memory.trouble.reset();
  object.memory.growth_trouble.reset();
}

void Table::apply_image(const v1::Image& image, bool look_only) {
  const bool was_there = images.contains(image.meta().id());
  const bool is_new = take(images, image);
  ImageObject& object = images[image.meta().id()];
  if (object.wanted.meta().revision() != image.meta().revision()) return;
  const bool changes = change_hands(object, look_only, was_there);
  if (is_new || changes) object.memory.trouble.reset();
}

std::uint64_t Table::let_go(const std::string& vm_id, const std::string& host_id) {
  const v1::Vm vm = vms.at(vm_id).wanted;
  vms.erase(vm_id);
  if (role_of(vm, host_id) != VmRole::leaving) {
    bury(vm_id);
    return 0;
  }
  left_[vm_id] = vm.meta().revision();
  return left_epoch(vm, host_id);
}

bool Table::was_left(const v1::Vm& vm, const std::string& host_id, Gone& gone) {
  const auto left = left_.find(vm.meta().id());
  if (left == left_.end()) return false;
  if (vm.meta().revision() > left->second) {
    left_.erase(left);
    return false;
  }
  if (role_of(vm, host_id) == VmRole::leaving) gone[vm.meta().id()] = left_epoch(vm, host_id);
  return true;
}

void Table::keep_only(const std::set<std::string>& ids) {
  erase_others(vms, ids);
  erase_others(volumes, ids);
  erase_others(images, ids);
  erase_others(networks, ids);
  erase_others(pools, ids);
}

Table::Gone Table::apply(const v1::ToHost& message, const std::string& host_id,
                         const std::function<void(std::string_view)>& log) {
  std::set<std::string> ids;
  Gone gone;
  // What VMs need comes first, so that a boot finds it.
  for (const v1::Assignment& assignment : message.assignments()) {
    const v1::Meta& meta = meta_of(assignment);
    ids.insert(meta.id());
    if (graves_.contains(meta.id())) {
      // It may have been deleted here before the manager heard that the guest had been given away.
      if (meta.has_deletion()) gone[meta.id()] = left_epoch(assignment.vm(), host_id);
    } else if (meta.id().empty()) {
      log("ignored an assignment without an id");
    } else if (assignment.has_volume()) {
      if (is_current(assignment.volume(), assignment.look_only(), host_id, log)) {
        apply_volume(assignment.volume(), assignment.look_only());
      }
    } else if (assignment.has_image()) {
      if (is_current(assignment.image(), assignment.look_only(), host_id, log)) {
        apply_image(assignment.image(), assignment.look_only());
      }
    } else if (assignment.has_network()) {
      apply_network(assignment, message.sequence());
    } else if (assignment.has_pool() && has_pool(assignment.pool().spec(), host_id)) {
      take(pools, assignment.pool());
    }
  }
  for (const v1::Assignment& assignment : message.assignments()) {
    const std::string& id = assignment.vm().meta().id();
    if (!assignment.has_vm() || id.empty() || graves_.contains(id)) continue;
    if (!was_left(assignment.vm(), host_id, gone)) apply_vm(assignment, message.sequence(), host_id, log);
  }
  if (message.complete() && message.sequence() >= newest_sequence_) keep_only(ids);
  newest_sequence_ = std::max(newest_sequence_, message.sequence());
  return gone;
}

}  // namespace gantry::host
