#include "server/routes.h"

#include <algorithm>
#include <set>

namespace gantry::server {
namespace {

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> segments;
  path.remove_prefix(1);
  while (true) {
    const std::size_t slash = path.find('/');
    segments.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

bool is_parameter(const std::string& segment) { return segment.size() > 2 && segment.front() == '{'; }

bool names_record(const RouteEntry& entry) {
  return std::any_of(entry.segments.begin(), entry.segments.end(), is_parameter);
}

// READs, and the document, answer HEAD too.
bool answers_head(const v1::Route& route) {
  return route.kind() == v1::Route::READ || route.kind() == v1::Route::DOCUMENT;
}

bool matches(const RouteEntry& entry, const std::vector<std::string>& segments) {
  return std::equal(entry.segments.begin(), entry.segments.end(), segments.begin(), segments.end(),
                    [](const std::string& pattern, const std::string& given) {
                      return is_parameter(pattern) ? !given.empty() : pattern == given;
                    });
}

}  // namespace

bool takes_dry_run(const v1::Route& route) { return route.kind() == v1::Route::CHANGE || route.dry_run(); }

bool takes_idempotency_key(const v1::Route& route) { return route.kind() == v1::Route::CHANGE; }

bool takes_if_match(const RouteEntry& entry) {
  return entry.route.if_match() || (entry.route.kind() == v1::Route::CHANGE && names_record(entry));
}

bool makes_record(const RouteEntry& entry) { return entry.route.kind() == v1::Route::CHANGE && !names_record(entry); }

RouteTable::RouteTable() {
  const auto* service = v1::Empty::descriptor()->file()->FindServiceByName("Gantry");
  for (int i = 0; i < service->method_count(); ++i) {
    const auto* method = service->method(i);
    RouteEntry entry;
    entry.method = method;
    entry.rpc = method->name();
    entry.route = method->options().GetExtension(v1::route);
    entry.segments = split_path(entry.route.path());
    entries_.push_back(std::move(entry));
  }
  // Fewer parameters first, so that the first match is the most literal one.
  const auto parameters = [](const RouteEntry& entry) {
    return std::count_if(entry.segments.begin(), entry.segments.end(), is_parameter);
  };
  std::stable_sort(entries_.begin(), entries_.end(),
                   [&](const auto& a, const auto& b) { return parameters(a) < parameters(b); });
}

Result<RouteMatch> RouteTable::find(const std::string& method, const std::vector<std::string>& segments) const {
  bool path_known = false;
  for (const RouteEntry& entry : entries_) {
    if (!matches(entry, segments)) continue;
    path_known = true;
    const bool by_head = method == "HEAD" && entry.route.method() == "GET" && answers_head(entry.route);
    if (entry.route.method() != method && !by_head) continue;
    RouteMatch match{&entry, {}};
    for (std::size_t i = 0; i < segments.size(); ++i) {
      const std::string& pattern = entry.segments[i];
      if (is_parameter(pattern)) match.parameters.emplace_back(pattern.substr(1, pattern.size() - 2), segments[i]);
    }
    return match;
  }
  if (path_known) {
    return fail(ErrorCode::invalid_argument, method + " is not possible here",
                "this address takes " + allowed(segments), "use one of those methods", "method_not_allowed");
  }
  return fail(ErrorCode::not_found, "there is nothing at this address", "no route has that path",
              "see /api/v1/openapi.json for all routes", "no_such_route");
}

std::string RouteTable::allowed(const std::vector<std::string>& segments) const {
  std::set<std::string> methods;
  for (const RouteEntry& entry : entries_) {
    if (!matches(entry, segments)) continue;
    methods.insert(entry.route.method());
    if (answers_head(entry.route)) methods.insert("HEAD");
  }
  std::string text;
  for (const std::string& method : methods) text += (text.empty() ? "" : ", ") + method;
  return text;
}

}  // namespace gantry::server
