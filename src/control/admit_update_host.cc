// Admission of what is done with hosts that are there: cordon, maintenance, labels.
#include <algorithm>

#include "control/admission.h"
#include "control/rule_check.h"
#include "control/same_labels.h"
#include "control/vm_hosts.h"
#include "model/state.h"
#include "model/validate.h"

namespace gantry::control {
namespace {

constexpr std::size_t kNamesMax = 5;

// "VM "a", "b" and 3 more".
std::string named(const std::vector<std::string>& names) {
  std::string text = "VM ";
  for (std::size_t i = 0; i < std::min(names.size(), kNamesMax); ++i)
    text += (i == 0 ? "\"" : ", \"") + names[i] + "\"";
  return names.size() <= kNamesMax ? text : text + " and " + std::to_string(names.size() - kNamesMax) + " more";
}

// A machine in maintenance may be turned off at any moment.
Result<void> refuse_guests(const Change& change, const v1::Host& host) {
  std::vector<std::string> names;
  for (const std::string& id : change.view().users_of_kind<v1::Vm>(host.meta().id())) {
    const auto* vm = change.view().find<v1::Vm>(id);
    // One on its way may be there before anybody could stop it.
    const bool there =
        vm != nullptr && (vm->placement().host_id() == host.meta().id() || moves_to(*vm, host.meta().id()));
    // A guest that powered off by itself does not come back by itself.
    if (there && model::holds_memory(*vm) && !model::boot_ended(*vm)) names.push_back(vm->meta().name());
  }
  if (names.empty()) return {};
  std::sort(names.begin(), names.end());
  std::string stop = "stop them first: gantry stop";
  for (std::size_t i = 0; i < std::min(names.size(), kNamesMax); ++i) stop += " " + names[i];
  return fail(ErrorCode::conflict, Change::quoted<v1::Host>("cannot begin the maintenance of the", host.meta().name()),
              named(names) + " run" + (names.size() == 1 ? "s" : "") + " on it",
              stop + (names.size() > kNamesMax ? " ..." : ""), "host_not_empty");
}

Result<void> set_maintenance(Change& change, bool maintenance, v1::Host& host) {
  if (host.spec().maintenance() == maintenance) return {};
  if (maintenance) GANTRY_CHECK(refuse_guests(change, host));
  host.mutable_spec()->set_maintenance(maintenance);
  change.step(maintenance ? "place and start no guests on host " + host.meta().name() + " until its maintenance ends"
                          : "let guests be placed and started on host " + host.meta().name() + " again");
  return {};
}

void set_cordoned(Change& change, bool cordoned, v1::Host& host) {
  if (host.spec().cordoned() == cordoned) return;
  host.mutable_spec()->set_cordoned(cordoned);
  change.step(cordoned ? "place no new guests on host " + host.meta().name()
                       : "place new guests on host " + host.meta().name() + " again");
}

void set_labels(Change& change, const policy::Labels& labels, v1::Host& host) {
  auto& has = *host.mutable_meta()->mutable_labels();
  if (same_labels(has, labels)) return;
  has = labels;
  change.step((labels.empty() ? "take all labels from host " : "label host anew: ") + host.meta().name() +
              "; guests that run there stay");
  for (std::string& broken : broken_by_labels(change.view(), host)) change.warn(std::move(broken));
}

}  // namespace

Result<void> update_host(Change& change, const v1::UpdateHostRequest& request) {
  auto target = change.target<v1::Host>("host.update", request.id());
  if (!target) return fail(std::move(target.error()));
  v1::Host& host = **target;
  const auto fields = model::fields_to_change(request);
  if (fields.contains("cordoned")) set_cordoned(change, request.cordoned(), host);
  if (fields.contains("maintenance")) GANTRY_CHECK(set_maintenance(change, request.maintenance(), host));
  if (fields.contains("labels")) set_labels(change, request.labels(), host);
  if (change.task.plan().steps().empty()) {
    change.step("nothing: host " + host.meta().name() + " is as asked");
  } else {
    host.mutable_meta()->set_generation(host.meta().generation() + 1);
  }
  change.succeed_at_once();
  return {};
}

}  // namespace gantry::control
