#include "store/rules.h"

#include <algorithm>
#include <vector>

namespace gantry::store {

std::string invalid_reason(const port::Txn& txn) {
  std::vector<std::string_view> keys;
  keys.reserve(txn.writes.size());
  for (const port::Compare& compare : txn.compares) {
    if (compare.key.empty()) return "invalid: a compare has an empty key";
  }
  for (const port::Write& write : txn.writes) {
    if (write.key.empty()) return "invalid: a write has an empty key";
    keys.push_back(write.key);
  }
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end()) return "invalid: key \"" + std::string(*twice) + "\" is written twice in one transaction";
  return {};
}

std::string prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xFFU) end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1U);
  return end;
}

std::string range_end(const port::RangeRequest& request) {
  return request.end.empty() ? prefix_end(request.first) : request.end;
}

port::ChangeBatch changes_below(const port::ChangeBatch& batch, std::string_view prefix) {
  port::ChangeBatch below{batch.revision, {}};
  for (const port::Change& change : batch.changes) {
    if (change.entry.key.starts_with(prefix)) below.changes.push_back(change);
  }
  return below;
}

}  // namespace gantry::store
