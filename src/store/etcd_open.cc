#include "store/etcd_open.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <future>
#include <memory>
#include <sstream>
#include <string_view>
#include <utility>

namespace gantry::store {
namespace {

constexpr std::string_view kScheme = "etcd://";

std::string joined(const std::vector<std::string>& addresses) {
  std::string all;
  for (const std::string& address : addresses) all += (all.empty() ? "" : ",") + address;
  return all;
}

bool is_host_and_port(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view host = address.substr(0, colon);
  const std::string_view port = address.substr(colon + 1);
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string_view::npos) return false;
  const int number = std::stoi(std::string(port));
  if (number == 0 || number > 65535) return false;
  if (host.front() == '[') {
    return host.size() > 2 && host.back() == ']' &&
           host.find_first_not_of("0123456789abcdefABCDEF:.", 1) == host.size() - 1;
  }
  return std::all_of(host.begin(), host.end(), [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
           letter == '-' || letter == '.' || letter == '_';
  });
}

Result<std::string> read_pem(const std::string& path, const std::string& what) {
  if (path.empty()) return std::string();
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  errno = 0;
  if (!file || !(text << file.rdbuf())) {
    const std::string cause = errno != 0 ? std::strerror(errno) : "it is empty";
    return fail(errno == EACCES ? ErrorCode::permission_denied : ErrorCode::not_found,
                "cannot read the " + what + " for etcd, " + path, cause, "give the path of a PEM file");
  }
  if (text.str().find("-----BEGIN ") == std::string::npos) {
    return fail(ErrorCode::invalid_argument, "cannot use the " + what + " for etcd, " + path, "it is not a PEM file",
                "give the path of a PEM file");
  }
  return text.str();
}

}  // namespace

Result<std::vector<std::string>> parse_etcd_address(const std::string& address) {
  const auto refuse = [&](const std::string& cause) {
    return fail(ErrorCode::invalid_argument, "cannot understand the store \"" + address + "\"", cause,
                "name etcd's nodes as etcd://HOST:PORT,HOST:PORT");
  };
  if (!address.starts_with(kScheme)) return refuse("it does not begin with etcd://");
  std::vector<std::string> endpoints;
  std::istringstream rest(address.substr(kScheme.size()));
  for (std::string one; std::getline(rest, one, ',');) {
    if (!is_host_and_port(one)) return refuse("\"" + one + "\" is no HOST:PORT");
    endpoints.push_back(one);
  }
  if (endpoints.empty() || address.back() == ',') return refuse("a node is missing");
  return endpoints;
}

Result<EtcdPems> read_etcd_pems(const EtcdStoreOptions& options) {
  if (options.endpoints.empty()) {
    return fail(ErrorCode::invalid_argument, "cannot use a store in etcd", "no node is named");
  }
  if (options.certificate_path.empty() != options.key_path.empty()) {
    return fail(ErrorCode::invalid_argument, "cannot prove to etcd who we are",
                "a certificate and its key belong together", "give both, or neither");
  }
  if (options.ca_path.empty() && !options.certificate_path.empty()) {
    return fail(ErrorCode::invalid_argument, "cannot speak TLS to etcd",
                "the certificate of the authority that etcd's nodes are known by is not given", "give it too");
  }
  auto ca = read_pem(options.ca_path, "authority's certificate");
  if (!ca) return fail(ca.error());
  auto certificate = read_pem(options.certificate_path, "certificate");
  if (!certificate) return fail(certificate.error());
  auto key = read_pem(options.key_path, "key");
  if (!key) return fail(key.error());
  return EtcdPems{std::move(*ca), std::move(*certificate), std::move(*key)};
}

Result<void> wait_for_etcd(const EtcdStoreOptions& options, const EtcdAsk& ask) {
  const Milliseconds deadline_ms = options.clock().monotonic_ms + options.open_timeout_ms;
  EtcdAnswer answer;
  do {
    auto promise = std::make_shared<std::promise<EtcdAnswer>>();
    auto future = promise->get_future();
    ask([promise](const EtcdAnswer& given) { promise->set_value(given); });
    answer = future.get();
    if (answer.present != 0) return {};
  } while (!answer.refused && options.clock().monotonic_ms < deadline_ms);
  const std::string nodes = joined(options.endpoints);
  return fail(ErrorCode::unavailable, "cannot reach the store in etcd at " + nodes,
              answer.trouble.empty() ? "it answers, but not with a revision" : answer.trouble,
              "see that etcd runs there and has a leader: etcdctl --endpoints=" + nodes + " endpoint status",
              "store_unreachable");
}

Result<void> see_one_cluster(const EtcdClient::Clusters& clusters) {
  if (clusters.size() <= 1) return {};
  std::string cause;
  for (const auto& [id, nodes] : clusters) cause += (cause.empty() ? "" : "; another of ") + joined(nodes);
  return fail(ErrorCode::unavailable, "cannot tell which etcd has the records",
              "its nodes belong to different clusters: one of " + cause,
              "name the nodes of one cluster only, or have the node that was set up alone join the others with a data "
              "directory that is empty",
              "store_of_several_clusters");
}

}  // namespace gantry::store
