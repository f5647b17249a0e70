// Machines for measuring a manager: each joins by a token of its own, keeps its own stream of the host link, and says
// of everything assigned to it that it is as wanted, at once and again every ten seconds.
//
//   fleet TOKENS [FIRST]    one token a line; prints how long they took to join and to be connected; ends when its
//                           input does. FIRST: how many machines there are of another fleet; none has the address of
//                           another
//
// After a line "samples" of its input each also tells, every ten seconds, what it and its guests use.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "link/grpc_host_link.h"
#include "link/join_client.h"
#include "model/join_token.h"
#include "runtime/event_loop.h"

namespace gantry {
namespace {

constexpr Milliseconds kReportMs = 10'000;
constexpr std::size_t kJoinsAtOnce = 100;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

v1::HostStatus machine_facts(int number) {
  v1::HostStatus status;
  status.set_version("0.1.0");
  status.set_kernel("6.1.0-25-amd64");
  status.set_operating_system("Debian GNU/Linux 12 (bookworm)");
  status.set_cpu_model("AMD EPYC 7313");
  status.set_cpus(64);
  status.set_memory_bytes(512ULL << 30U);
  status.set_memory_available_bytes(256ULL << 30U);
  status.set_qemu_version("7.2.13");
  status.set_accelerator("kvm");
  status.set_accelerator_reason("KVM works");
  status.set_cgroup_version("v2");
  status.set_address("10.9." + std::to_string(number / 250) + "." + std::to_string(number % 250 + 1));
  for (const char* model : {"qemu64", "EPYC", "EPYC-Rome", "EPYC-Milan"}) status.add_cpu_models(model);
  return status;
}

template <class Status>
void set_common(Status& status, const v1::Meta& meta, const std::string& host_id) {
  status.set_host_id(host_id);
  status.set_observed_generation(meta.generation());
}

v1::VmStatus as_wanted(const v1::Vm& vm, const std::string& host_id) {
  v1::VmStatus status;
  set_common(status, vm.meta(), host_id);
  status.set_boot_id(vm.spec().boot_id());
  status.set_reset_id(vm.spec().reset_id());
  status.set_state(vm.spec().power() == v1::VmSpec::STOPPED ? v1::VmStatus::STOPPED : v1::VmStatus::RUNNING);
  status.set_accelerator("kvm");
  status.mutable_guest()->set_host_name(vm.meta().name());
  status.mutable_guest()->set_operating_system("Debian GNU/Linux 12 (bookworm)");
  status.mutable_lease()->set_state(v1::LeaseStatus::HELD);
  status.mutable_lease()->set_epoch(vm.placement().epoch());
  return status;
}

// Answers false for what is not to be told of.
bool tell(const v1::Assignment& assignment, const std::string& host_id, v1::Observation& seen) {
  const auto begin = [&seen](const auto& record) {
    seen.set_id(record.meta().id());
    if (record.meta().has_deletion()) seen.set_absent(true);
    return !record.meta().has_deletion();
  };
  switch (assignment.record_case()) {
    case v1::Assignment::kVm:
      if (begin(assignment.vm())) *seen.mutable_vm() = as_wanted(assignment.vm(), host_id);
      return true;
    case v1::Assignment::kVolume:
      if (begin(assignment.volume())) {
        v1::VolumeStatus& status = *seen.mutable_volume();
        set_common(status, assignment.volume().meta(), host_id);
        status.set_state(v1::VolumeStatus::READY);
        status.set_path("/var/lib/gantry/pool/volumes/" + seen.id());
        status.set_capacity_bytes(assignment.volume().spec().capacity_bytes());
        status.set_allocation_bytes(200'000);
      }
      return true;
    case v1::Assignment::kPool:
      if (begin(assignment.pool())) {
        v1::PoolStatus& status = *seen.mutable_pool();
        status.set_state(v1::PoolStatus::READY);
        status.set_capacity_bytes(10'000ULL << 30U);
        status.set_available_bytes(9'000ULL << 30U);
      }
      return true;
    case v1::Assignment::kNetwork:
      if (begin(assignment.network())) {
        seen.mutable_network()->set_host_id(host_id);
        seen.mutable_network()->set_state(v1::NetworkStatus::READY);
      }
      return true;
    default: return false;
  }
}

// All that can be measured. Numbers that change, as real ones do.
v1::Sample vm_sample(const std::string& id, std::uint64_t turn) {
  v1::Sample sample;
  sample.set_id(id);
  const auto* fields = v1::VmSample::descriptor();
  for (int i = 0; i < fields->field_count(); ++i) {
    v1::VmSample& vm = *sample.mutable_vm();
    const double value = static_cast<double>((turn + static_cast<std::uint64_t>(i)) % 97) * 1'000.5;
    vm.GetReflection()->SetDouble(&vm, fields->field(i), value);
  }
  return sample;
}

class FleetHost {
 public:
  FleetHost(runtime::EventLoop& loop, link::HostCredentials credentials, int number, std::atomic<int>& connected,
            const std::atomic<bool>& measures)
      : loop_(loop),
        id_(credentials.host_id),
        name_(credentials.host_name),
        facts_(machine_facts(number)),
        first_report_ms_(kReportMs * number / 1'000 % kReportMs + 1),
        connected_(connected),
        measures_(measures),
        link_(loop, std::move(credentials), {.keep = [](const link::HostCredentials&) { return Result<void>{}; }}) {}

  // On the loop.
  void start() {
    link_.on_message([this](const v1::ToHost& message) { take(message); });
    link_.on_connection([this](bool connected) {
      if (!connected) return;
      ++connected_;
      v1::FromHost hello = message();
      hello.set_hello(true);
      *hello.mutable_host() = facts_;
      link_.send(hello);
    });
    link_.start();
    loop_.post_after(first_report_ms_, [this] { report(); });
  }
  void stop() { link_.stop(); }

 private:
  v1::FromHost message() {
    v1::FromHost message;
    message.set_host_id(id_);
    message.set_host_name(name_);
    message.mutable_mark()->set_incarnation(1);
    message.mutable_mark()->set_sequence(++sequence_);
    return message;
  }
  void take(const v1::ToHost& assigned) {
    v1::FromHost answer = message();
    for (const v1::Assignment& assignment : assigned.assignments()) {
      v1::Observation seen;
      if (!tell(assignment, id_, seen)) continue;
      if (seen.absent()) {
        told_.erase(seen.id());
      } else {
        told_[seen.id()] = seen;
      }
      *answer.add_observations() = std::move(seen);
    }
    if (answer.observations_size() > 0) link_.send(answer);
  }
  void report() {
    v1::FromHost all = message();
    // What is free moves by less than is worth a write.
    facts_.set_memory_available_bytes((256ULL << 30U) + sequence_ % 7 * (100ULL << 20U));
    *all.mutable_host() = facts_;
    for (const auto& [id, seen] : told_) *all.add_observations() = seen;
    link_.send(all);
    if (measures_) tell_use();
    loop_.post_after(kReportMs, [this] { report(); });
  }
  void tell_use() {
    v1::FromHost use = message();
    v1::Sample& own = *use.add_samples();
    own.set_id(id_);
    own.mutable_host()->set_cpu_percent(static_cast<double>(sequence_ % 100));
    own.mutable_host()->set_memory_used_bytes(256e9);
    own.mutable_host()->set_memory_total_bytes(512e9);
    for (const auto& [id, seen] : told_) {
      if (seen.has_vm()) *use.add_samples() = vm_sample(id, sequence_);
    }
    link_.send(use);
  }

  runtime::EventLoop& loop_;
  std::string id_;
  std::string name_;
  v1::HostStatus facts_;
  Milliseconds first_report_ms_;
  std::atomic<int>& connected_;
  const std::atomic<bool>& measures_;
  std::map<std::string, v1::Observation> told_;
  std::uint64_t sequence_ = 0;
  link::GrpcHostLink link_;
};

struct Joined {
  std::mutex mutex;
  std::vector<link::HostCredentials> hosts;
  std::vector<std::string> failures;
};

void join_some(const std::vector<std::string>& tokens, std::size_t first, std::atomic<std::size_t>& next,
               Joined& joined) {
  for (std::size_t i = next++; i < tokens.size(); i = next++) {
    const auto token = model::parse_join_token(tokens[i]);
    link::JoinWish wish;
    wish.host_name = "fleet" + std::to_string(first + i);
    wish.pool_path = "/var/lib/gantry/pool";
    wish.step_ms = 60'000;
    auto credentials = token ? link::join_cluster(*token, wish) : Result<link::HostCredentials>(fail(token.error()));
    const std::scoped_lock lock(joined.mutex);
    if (credentials) {
      joined.hosts.push_back(std::move(*credentials));
    } else {
      joined.failures.push_back(credentials.error().to_text());
    }
  }
}

std::vector<std::string> lines_of(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

int run(const char* path, std::size_t first) {
  const std::vector<std::string> tokens = lines_of(path);
  Joined joined;
  std::atomic<std::size_t> next = 0;
  const auto begin = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < std::min(kJoinsAtOnce, tokens.size()); ++i) {
      threads.emplace_back([&] { join_some(tokens, first, next, joined); });
    }
  }
  for (const std::string& failure : joined.failures) std::cerr << failure << '\n';
  std::cout << "joined " << joined.hosts.size() << " of " << tokens.size() << " in " << seconds_since(begin) << " s"
            << std::endl;
  runtime::EventLoop loop;
  std::atomic<int> connected = 0;
  std::atomic<bool> measures = false;
  std::vector<std::unique_ptr<FleetHost>> hosts;
  for (link::HostCredentials& credentials : joined.hosts) {
    const int number = static_cast<int>(first + hosts.size());
    hosts.push_back(std::make_unique<FleetHost>(loop, std::move(credentials), number, connected, measures));
    loop.post([host = hosts.back().get()] { host->start(); });
  }
  std::jthread thread([&loop] { loop.run(); });
  while (connected < static_cast<int>(hosts.size())) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::cout << "connected " << hosts.size() << " after " << seconds_since(begin) << " s" << std::endl;
  for (std::string line; std::getline(std::cin, line);) measures = measures || line == "samples";
  for (const auto& host : hosts) host->stop();
  loop.stop();
  return joined.failures.empty() ? 0 : 1;
}

}  // namespace
}  // namespace gantry

int main(int count, char** arguments) {
  if (count == 2 || count == 3) return gantry::run(arguments[1], count == 3 ? std::stoul(arguments[2]) : 0);
  std::fputs("usage: fleet TOKENS [FIRST]\n", stderr);
  return 2;
}
