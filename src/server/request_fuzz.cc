// Bodies and query strings of every route: the first byte chooses the route; what is accepted can be written and read
// again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "server/json.h"
#include "server/routes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gantry::server;
  static const RouteTable routes;
  if (size < 2) return 0;
  const RouteEntry& entry = routes.entries()[data[0] % routes.entries().size()];
  std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  RouteMatch match{&entry, {}};
  for (const std::string& segment : entry.segments) {
    if (segment == "{id}") match.parameters.emplace_back("id", "web");
  }
  const bool in_query = entry.route.method() == "GET" || entry.route.method() == "DELETE";
  std::vector<QueryParameter> query;
  if (in_query) {
    const auto target = parse_target("/?" + text);
    if (!target) return 0;
    query = target->query;
    text.clear();
  }
  const auto decoded = decode_request(match, query, text);
  if (!decoded) return 0;
  auto copy = std::unique_ptr<google::protobuf::Message>(decoded->message->New());
  if (!read_json(write_json(*decoded->message), *copy)) std::abort();
  return 0;
}
