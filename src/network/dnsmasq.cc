#include "network/dnsmasq.h"

#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <system_error>

#include "base/unique_fd.h"
#include "model/network_kinds.h"
#include "network/dhcp_release.h"
#include "network/nic_store.h"
#include "runtime/files.h"
#include "runtime/process.h"

namespace gantry::network {
namespace {

constexpr int kStopMs = 3000;
constexpr Milliseconds kStartMs = 20'000;

UniqueFd open_process(pid_t pid) { return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

void signal_process(const UniqueFd& process, int signal) {
  ::syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0);
}

// 0: none.
pid_t read_pid(const std::string& path) {
  const auto text = runtime::read_file(path);
  pid_t pid = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), pid);
  return pid > 1 ? pid : 0;
}

bool wait_for_end(const UniqueFd& process) {
  pollfd poll_for{process.get(), POLLIN, 0};
  return ::poll(&poll_for, 1, kStopMs) == 1;
}

// A directory on the way that dnsmasq's user may not enter; empty: none.
std::string closed_directory(const std::string& directory) {
  for (std::filesystem::path path = directory; path.has_relative_path(); path = path.parent_path()) {
    struct stat facts {};
    if (::stat(path.c_str(), &facts) == 0 && (facts.st_mode & S_IXOTH) == 0) return path.string();
  }
  return {};
}

}  // namespace

Result<DnsmasqUser> dnsmasq_user() {
  for (const char* name : {"dnsmasq", "nobody"}) {
    std::array<char, 4096> buffer{};
    passwd entry{};
    passwd* found = nullptr;
    if (::getpwnam_r(name, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) continue;
    DnsmasqUser user{name, "nogroup", entry.pw_uid, entry.pw_gid};
    group group_entry{};
    group* group_found = nullptr;
    std::array<char, 16384> group_buffer{};
    if (::getgrgid_r(entry.pw_gid, &group_entry, group_buffer.data(), group_buffer.size(), &group_found) == 0 &&
        group_found != nullptr) {
      user.group = group_entry.gr_name;
    }
    return user;
  }
  return fail(ErrorCode::unsupported, "cannot start dnsmasq", "there is neither a user \"dnsmasq\" nor \"nobody\"",
              "install the package dnsmasq-base");
}

Dnsmasq::Dnsmasq(NatPlan plan, std::string directory, std::string resolv_file)
    : plan_(std::move(plan)),
      directory_(std::move(directory)),
      paths_(dnsmasq_paths(directory_)),
      resolv_file_(std::move(resolv_file)) {}

// 0: none. The command line tells it from an unrelated process that got an old process id.
pid_t Dnsmasq::find_process() const {
  const pid_t pid = read_pid(paths_.pid);
  if (pid == 0) return 0;
  const auto command = runtime::read_file("/proc/" + std::to_string(pid) + "/cmdline");
  const std::string mark = "--conf-file=" + paths_.config;
  return command && command->find(mark + '\0') != std::string::npos ? pid : 0;
}

bool Dnsmasq::is_running() const { return find_process() != 0; }

Result<void> Dnsmasq::make_directories(const DnsmasqUser& user) {
  for (const auto& path : {directory_, paths_.dhcp_hosts, paths_.dns_hosts}) {
    if (auto made = runtime::make_directories(path, 0755); !made) return made;
  }
  // Its lease file: dnsmasq rewrites it after it gave up its rights.
  if (::access(paths_.leases.c_str(), F_OK) != 0) {
    if (auto made = replace_file(paths_.leases, ""); !made) return made;
  }
  if (::chown(paths_.leases.c_str(), user.uid, user.gid) != 0) {
    return fail(runtime::errno_error("cannot give " + paths_.leases + " to " + user.user, errno));
  }
  const std::string closed = closed_directory(directory_);
  if (closed.empty()) return {};
  return fail(ErrorCode::permission_denied, "dnsmasq cannot read its files",
              "its user \"" + user.user + "\" may not enter " + closed, "chmod o+x " + closed, "state_not_readable");
}

Result<void> Dnsmasq::ensure(const std::vector<NicPlan>& nics) {
  const auto user = dnsmasq_user();
  if (!user) return fail(user.error());
  const std::string config = dnsmasq_config(plan_, paths_, *user, resolv_file_);
  const auto present = runtime::read_file(paths_.config);
  const bool same = present && *present == config;
  if (same && is_running()) return {};
  stop();
  // Lines of cards that are no more must not come back with it.
  std::error_code ignored;
  std::filesystem::remove_all(paths_.dhcp_hosts, ignored);
  std::filesystem::remove_all(paths_.dns_hosts, ignored);
  if (auto made = make_directories(*user); !made) return made;
  for (const auto& nic : nics) {
    if (!model::has_gateway(nic.kind)) continue;
    if (auto written = write_hosts(nic); !written) return written;
  }
  if (auto written = replace_file(paths_.config, config); !written) return written;
  return start();
}

Result<void> Dnsmasq::start() {
  const auto started =
      runtime::run_process({.argv = {"dnsmasq", "--conf-file=" + paths_.config}, .timeout_ms = kStartMs});
  if (started) return {};
  Error error = started.error();
  const bool taken = error.cause.find("Address already in use") != std::string::npos;
  return fail(error.code, "cannot start the DHCP and DNS server of " + plan_.bridge, error.summary + ": " + error.cause,
              taken ? "let the DNS server of this host listen on its own interfaces only" : error.next_step,
              taken ? "dns_port_in_use" : error.reason);
}

// One that is just ending has no command line any more, but may still hold its ports.
void Dnsmasq::wait_for_dying() const {
  const pid_t pid = read_pid(paths_.pid);
  if (pid == 0) return;
  const std::string process_directory = "/proc/" + std::to_string(pid);
  const UniqueFd process = open_process(pid);
  if (!process.valid() || runtime::read_file(process_directory + "/comm").value_or("") != "dnsmasq\n") return;
  if (runtime::read_file(process_directory + "/cmdline").value_or("").empty()) wait_for_end(process);
}

void Dnsmasq::stop() {
  const pid_t pid = find_process();
  if (pid == 0) return wait_for_dying();
  const UniqueFd process = open_process(pid);
  // Between the look and the opening it may have ended and its number been given away.
  if (!process.valid() || find_process() != pid) return;
  signal_process(process, SIGTERM);
  if (wait_for_end(process)) return;
  signal_process(process, SIGKILL);
  wait_for_end(process);
}

void Dnsmasq::signal_reload() {
  const pid_t pid = find_process();
  if (pid == 0) return;
  const UniqueFd process = open_process(pid);
  if (process.valid() && find_process() == pid) signal_process(process, SIGHUP);
}

Result<void> Dnsmasq::write_hosts(const NicPlan& nic) {
  if (auto written = replace_file(paths_.dhcp_hosts + "/" + nic.tap, dhcp_host_line(nic)); !written) return written;
  return replace_file(paths_.dns_hosts + "/" + nic.tap, dns_host_line(nic));
}

Result<void> Dnsmasq::add(const NicPlan& nic) {
  // dnsmasq gives no address that another card holds, even if that card is no more.
  release_leases(nic, false);
  if (auto written = write_hosts(nic); !written) return written;
  signal_reload();
  return {};
}

// Of the NIC's address: its own lease, or those of other cards.
void Dnsmasq::release_leases(const NicPlan& nic, bool own) {
  const auto text = runtime::read_file(paths_.leases);
  if (!text) return;
  for (const auto& lease : parse_leases(*text)) {
    if (lease.address == nic.ipv4 && (lease.mac == nic.mac) == own) send_dhcp_release(plan_.bridge, lease);
  }
}

void Dnsmasq::remove(const NicPlan& nic) {
  const bool had = ::unlink((paths_.dhcp_hosts + "/" + nic.tap).c_str()) == 0;
  const bool named = ::unlink((paths_.dns_hosts + "/" + nic.tap).c_str()) == 0;
  // A lease keeps the name known.
  release_leases(nic, true);
  if (had || named) signal_reload();
}

Result<void> Dnsmasq::destroy() {
  stop();
  std::error_code error;
  std::filesystem::remove_all(directory_, error);
  if (error) return fail(runtime::errno_error("cannot remove " + directory_, error.value()));
  return {};
}

}  // namespace gantry::network
