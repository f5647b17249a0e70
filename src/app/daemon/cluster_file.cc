#include "app/daemon/cluster_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/id.h"
#include "link/authority.h"
#include "model/join_token.h"
#include "runtime/files.h"

namespace gantry::app {

namespace {

bool is_whole(const link::HostCredentials& credentials) {
  const auto is_address = [](const std::string& address) { return model::parse_link_address(address).has_value(); };
  return !credentials.addresses.empty() &&
         std::all_of(credentials.addresses.begin(), credentials.addresses.end(), is_address) &&
         is_id(credentials.host_id, "host") &&
         link::check_host_credentials(credentials.authority_pem, credentials.own, credentials.host_id);
}

}  // namespace

std::string cluster_path(const std::string& state_directory) { return state_directory + "/cluster.json"; }

Result<std::optional<link::HostCredentials>> read_cluster(const std::string& state_directory) {
  const std::string path = cluster_path(state_directory);
  const auto text = runtime::read_file(path, 1U << 20U);
  if (!text && text.error().code == ErrorCode::not_found) return std::optional<link::HostCredentials>();
  if (!text) return fail(text.error());
  link::HostCredentials credentials;
  try {
    const auto json = nlohmann::json::parse(*text);
    credentials.host_id = json.at("hostId");
    credentials.host_name = json.at("hostName");
    json.at("addresses").get_to(credentials.addresses);
    credentials.authority_pem = json.at("authority");
    credentials.own.certificate_pem = json.at("certificate");
    credentials.own.key_pem = json.at("key");
  } catch (const nlohmann::json::exception&) {
    credentials.addresses.clear();
  }
  if (is_whole(credentials)) return credentials;
  return fail(ErrorCode::corrupt, "cannot understand " + path, "it does not hold what \"gantryd join\" wrote",
              "restore it from a backup, or join anew: gantryd join --replace TOKEN");
}

Result<void> write_cluster(const std::string& state_directory, const link::HostCredentials& credentials) {
  const nlohmann::json json = {{"hostId", credentials.host_id},
                               {"hostName", credentials.host_name},
                               {"addresses", credentials.addresses},
                               {"authority", credentials.authority_pem},
                               {"certificate", credentials.own.certificate_pem},
                               {"key", credentials.own.key_pem}};
  return runtime::write_file_durably(cluster_path(state_directory), json.dump(2) + "\n", 0600);
}

}  // namespace gantry::app
