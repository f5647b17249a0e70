// Why a virtual machine is where it is.
#include <array>
#include <cstdio>
#include <iostream>

#include "app/cli/commands.h"

namespace gantry::app {
namespace {

std::string score_text(const v1::PlacementCandidate& candidate) {
  if (!candidate.fits()) return "-";
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", candidate.score());
  return text.data();
}

std::string name_in(const v1::PlacementDecision& decision, const std::string& host_id) {
  for (const auto& candidate : decision.candidates()) {
    if (candidate.host_id() == host_id) return candidate.host_name();
  }
  return host_id;
}

void print_hosts(const v1::PlacementDecision& decision) {
  Table table({"HOST", "FITS", "SCORE", "WHY"});
  for (const auto& candidate : decision.candidates()) {
    table.add({candidate.host_name(), candidate.fits() ? "yes" : "no", score_text(candidate), candidate.reason()});
  }
  std::cout << table.text();
}

void print_explanation(const std::string& name, const v1::VmPlacementAnswer& answer) {
  const auto& placement = answer.placement();
  const auto& now = answer.now();
  if (placement.host_id().empty()) {
    std::cout << "VM " << printable(name) << " is on no host\n";
  } else {
    std::cout << "VM " << printable(name) << " is on host " << printable(name_in(now, placement.host_id()))
              << ": when it was placed, " << printable(placement.reason()) << "\n";
  }
  if (!placement.cpu_model().empty()) {
    std::cout << "processors from its next start on: " << printable(placement.cpu_model()) << "\n";
  }
  std::cout << "if it were placed now: " << printable(now.reason()) << "\n";
  print_hosts(now);
}

}  // namespace

void add_explain_command(const Commands& commands) {
  auto* command =
      commands.add(commands.app, "explain", "Say why a virtual machine is where it is, and why not elsewhere",
                   "gantry explain web\ngantry explain web -o json");
  auto name = std::make_shared<std::string>();
  command->add_option("name", *name, "Name or id")->required()->type_name("VM");
  commands.run(command, [&session = commands.session, name] {
    if (session.format() != Format::table) {
      return show_record<v1::VmPlacementAnswer>(session, "GetVmPlacement", *name);
    }
    auto client = session.api();
    if (!client) return report(client.error());
    v1::ById request;
    request.set_id(*name);
    const auto answer = (*client)->call<v1::VmPlacementAnswer>("GetVmPlacement", request);
    if (!answer) return report(answer.error());
    print_explanation(*name, *answer);
    return 0;
  });
}

}  // namespace gantry::app
