#include "host/core.h"

namespace gantry::host {

NetworkInput Core::network_input(const NetworkObject& network) const {
  NetworkInput input{.wanted = network.wanted,
                     .memory = network.memory,
                     .under_way = network.under_way,
                     .in_use_by = {},
                     .now = now()};
  if (network.wanted.meta().has_deletion()) {
    input.in_use_by = user_of([&network](const v1::Vm& vm) {
      for (const v1::VmNic& nic : vm.spec().nics()) {
        if (nic.network() == network.wanted.meta().id()) return true;
      }
      return false;
    });
  }
  return input;
}

void Core::tend_networks() {
  for (auto& [id, network] : table_.networks) {
    const NetworkPlan plan = plan_network(network_input(network));
    wake_at(plan.wake_at_ms);
    carry_out(id, network, plan.step);
    tend_overlay(id, network);
  }
}

// Guests do not wait for it, and it fails no network: it is tried until it is so.
void Core::tend_overlay(const std::string& id, NetworkObject& network) {
  const OverlayWanted& overlay = network.overlay;
  const bool due = network.wanted.spec().kind() == v1::NetworkSpec::OVERLAY && overlay.given != overlay.version &&
                   !overlay.under_way && network.under_way == NetworkStep::none &&
                   is_ready(network.wanted, network.memory);
  if (!due) return;
  if (const auto until = waits_until(overlay.trouble, now())) return wake_at(until);
  network.overlay.under_way = true;
  ports_.network.set_overlay(
      network.wanted, overlay.entries, alive([id, version = overlay.version](Core& core, const Result<void>& result) {
        const auto found = core.table_.networks.find(id);
        if (found == core.table_.networks.end()) return;
        OverlayWanted& object = found->second.overlay;
        object.under_way = false;
        if (result) {
          object.given = version;
          object.trouble.reset();
        } else {
          note_failure(object.trouble, result.error(), "", core.now(), Tries::endless);
          core.log("network " + id + " does not know its guests on other hosts yet: " + result.error().to_text());
        }
        core.touch();
      }));
}

void Core::carry_out(const std::string& id, NetworkObject& network, NetworkStep step) {
  if (step == NetworkStep::ensure) {
    network.under_way = step;
    const std::uint64_t generation = network.wanted.meta().generation();
    ports_.network.ensure_network(network.wanted,
                                  alive([id, generation](Core& core, const Result<port::NetworkFacts>& result) {
                                    NetworkObject& object = core.table_.networks.at(id);
                                    object.under_way = NetworkStep::none;
                                    if (result) {
                                      object.memory.ensured = true;
                                      object.memory.ensured_generation = generation;
                                      object.memory.facts = *result;
                                      object.memory.trouble.reset();
                                    } else {
                                      note_failure(object.memory.trouble, result.error(), "", core.now());
                                    }
                                    core.touch();
                                  }));
  } else if (step == NetworkStep::remove) {
    network.under_way = step;
    const std::string task_id = network.wanted.meta().deletion().task_id();
    ports_.network.remove_network(network.wanted, alive([id, task_id](Core& core, const Result<void>& result) {
                                    NetworkObject& object = core.table_.networks.at(id);
                                    object.under_way = NetworkStep::none;
                                    if (result) {
                                      core.table_.networks.erase(id);
                                      core.table_.bury(id);
                                      core.gone_.emplace(id, 0);
                                    } else {
                                      note_failure(object.memory.trouble, result.error(), task_id, core.now());
                                    }
                                    core.touch();
                                  }));
  }
}

}  // namespace gantry::host
