// Admission of what is done with hosts that are there: cordon, maintenance, labels.
#include "control/admission.h"
#include "control/evacuation.h"
#include "control/rule_check.h"
#include "control/same_labels.h"
#include "model/validate.h"

namespace gantry::control {
namespace {

// What runs on a host that goes into maintenance is moved away: the task ends when nothing of it is left.
void begin_maintenance(Change& change, v1::Host& host) {
  const auto guests = guests_on(change.draft, host.meta().id());
  if (host.spec().maintenance() && guests.empty()) return;
  host.mutable_spec()->set_maintenance(true);
  change.step("place and start no guests on host " + host.meta().name() + " until its maintenance ends");
  change.task.set_guests_before(static_cast<std::uint32_t>(guests.size()));
  if (guests.empty()) return;
  plan_evacuation(change, host);
}

void end_maintenance(Change& change, v1::Host& host) {
  if (!host.spec().maintenance()) return;
  host.mutable_spec()->set_maintenance(false);
  const bool empties = !guests_on(change.draft, host.meta().id()).empty();
  change.step("let guests be placed and started on host " + host.meta().name() + " again" +
              (empties ? "; moves that are under way go on" : ""));
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
  if (fields.contains("maintenance")) {
    request.maintenance() ? begin_maintenance(change, host) : end_maintenance(change, host);
  }
  if (fields.contains("labels")) set_labels(change, request.labels(), host);
  if (change.task.plan().steps().empty()) {
    change.step("nothing: host " + host.meta().name() + " is as asked");
  } else {
    host.mutable_meta()->set_generation(host.meta().generation() + 1);
  }
  if (change.task.guests_before() == 0) change.succeed_at_once();
  return {};
}

}  // namespace gantry::control
