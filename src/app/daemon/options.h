// What gantryd is started with: options, or the same names in a configuration file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gantry::app {

struct DaemonOptions {
  std::string state_directory = "/var/lib/gantry";
  std::string run_directory = "/run/gantry";
  // Where its helper programs and image recipes lie; empty: found beside the program, or in /usr/share/gantry.
  std::string data_directory;
  std::string listen_address = "127.0.0.1";
  std::uint16_t listen_port = 8443;
  // Both empty: a certificate of its own in the state directory.
  std::string tls_certificate;
  std::string tls_key;
  // Where records are kept: "etcd://HOST:PORT,HOST:PORT", shared with other managers; empty: a file in the state
  // directory.
  std::string store;
  // PEM files for TLS to etcd; all empty: none.
  std::string store_ca;
  std::string store_certificate;
  std::string store_key;
  std::string host_name;
  std::string log_level = "info";
  // "auto" asks the machine; "tcg" and "kvm" do not.
  std::string accelerator = "auto";
  // Of a manager: virtual processors that are promised for each of a host's.
  std::uint32_t cpu_overcommit = 16;
  bool show_fingerprint = false;
  // Where hosts on other machines connect to; empty: nowhere, and none can join.
  std::string link_listen;
  std::uint16_t link_port = 8444;
  // What tokens name instead of link_listen: names or addresses, each perhaps with ":PORT".
  std::vector<std::string> link_addresses;
};

// "gantryd join TOKEN"
struct JoinOptions {
  std::string token;
  bool dry_run = false;
  // Leaves the cluster this machine was a host of.
  bool replace = false;
};

// "gantryd migrate-store"
struct MigrateOptions {
  bool dry_run = false;
};

// The options, or the exit code of a process that has said all there is to say (--help, wrong use).
struct ParsedOptions {
  DaemonOptions options;
  // Instead of serving.
  std::optional<JoinOptions> join;
  std::optional<MigrateOptions> migrate;
  std::optional<int> exit_code;
};

ParsedOptions parse_options(int argc, char** argv);

}  // namespace gantry::app
