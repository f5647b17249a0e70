// Security groups change while guests run: what their NICs let through follows at once.
#include <algorithm>

#include "host/core.h"
#include "model/uid.h"

namespace gantry::host {

port::NicRequest Core::nic_request(const std::string& id, const VmObject& vm, std::uint32_t index) const {
  port::NicRequest request;
  request.vm_id = id;
  request.vm_name = vm.wanted.meta().name();
  request.index = index;
  request.uid = model::guest_uid(id);
  request.nic = vm.wanted.spec().nics(static_cast<int>(index));
  request.network = table_.networks.at(request.nic.network()).wanted;
  request.groups = vm.groups.groups;
  return request;
}

// NICs that are attached by a boot to come get them with it.
void Core::tend_groups() {
  for (auto& [id, vm] : table_.vms) {
    const GroupsWanted& groups = vm.groups;
    if (groups.given == groups.version || groups.under_way || vm.wanted.meta().has_deletion()) continue;
    if (!is_live(guest_of(id)) && vm.memory.nics.empty()) continue;
    if (const auto until = waits_until(groups.trouble, now())) {
      wake_at(until);
      continue;
    }
    const auto& nics = vm.wanted.spec().nics();
    const bool known = std::all_of(nics.begin(), nics.end(),
                                   [this](const v1::VmNic& nic) { return table_.networks.contains(nic.network()); });
    if (known) set_groups(id, vm);
  }
}

// All NICs in a row, with what is wanted now: the last answer says that they have it.
void Core::set_groups(const std::string& id, VmObject& vm) {
  const int count = vm.wanted.spec().nics_size();
  if (count == 0) {
    vm.groups.given = vm.groups.version;
    return;
  }
  vm.groups.under_way = true;
  const auto failure = std::make_shared<std::optional<Error>>();
  for (int i = 0; i < count; ++i) {
    const bool last = i + 1 == count;
    ports_.network.set_groups(
        nic_request(id, vm, static_cast<std::uint32_t>(i)),
        alive([id, last, failure, version = vm.groups.version](Core& core, const Result<void>& result) {
          if (!result) *failure = result.error();
          const auto found = core.table_.vms.find(id);
          if (!last || found == core.table_.vms.end()) return;
          GroupsWanted& groups = found->second.groups;
          groups.under_way = false;
          if (*failure) {
            note_failure(groups.trouble, **failure, "", core.now(), Tries::endless);
            core.log("the security groups of VM " + id + " are not in force yet: " + (*failure)->to_text());
          } else {
            groups.given = version;
            groups.trouble.reset();
          }
          core.touch();
        }));
  }
}

}  // namespace gantry::host
