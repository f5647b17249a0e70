#include "control/draft.h"

namespace gantry::control {

void Draft::guard(const std::string& task_id) {
  if (guarded_) return;
  guarded_ = true;
  compare(std::string(kAdmissionKey), view_.admission_revision());
  put(std::string(kAdmissionKey), task_id);
}

void Draft::guard() { guard(view_.admission_word()); }

template <class Record>
void Draft::build_kind(const Staged<Record>& staged, port::Txn& txn) const {
  using Write = port::Write;
  for (const auto& [id, record] : staged.records) {
    const Record* before = view_.find<Record>(id);
    const std::string key = model::record_key(Kind<Record>::word, id);
    if (!record) {
      if (before == nullptr) continue;
      txn.compares.push_back({key, before->meta().revision()});
      txn.writes.push_back({.kind = Write::Kind::erase, .key = key, .value = {}});
      const std::string& name = before->meta().name();
      if (name.empty()) continue;
      txn.writes.push_back({.kind = Write::Kind::erase, .key = model::name_key(Kind<Record>::word, name), .value = {}});
      continue;
    }
    std::string bytes = record_bytes(*record);
    if (before != nullptr && bytes == record_bytes(*before)) continue;
    txn.compares.push_back({key, before != nullptr ? before->meta().revision() : 0});
    txn.writes.push_back({.kind = Write::Kind::put, .key = key, .value = std::move(bytes)});
    if (before != nullptr && before->meta().name() == record->meta().name()) continue;
    if (before != nullptr) erase_name(staged, before->meta().name(), txn);
    if (record->meta().name().empty()) continue;
    const std::string name_key = model::name_key(Kind<Record>::word, record->meta().name());
    // Whoever has the name yet gives it away in this same transaction, which is compared with that record.
    if (!view_.all<Record>().id_by_name.contains(record->meta().name())) txn.compares.push_back({name_key, 0});
    txn.writes.push_back({.kind = Write::Kind::put, .key = name_key, .value = id});
  }
}

// Unless another record comes to have it here.
template <class Record>
void Draft::erase_name(const Staged<Record>& staged, const std::string& name, port::Txn& txn) {
  for (const auto& [id, record] : staged.records) {
    if (record && record->meta().name() == name) return;
  }
  txn.writes.push_back(
      {.kind = port::Write::Kind::erase, .key = model::name_key(Kind<Record>::word, name), .value = {}});
}

template <class Record>
bool Draft::is_unchanged(const std::string& id, const std::optional<Record>& record) const {
  const Record* before = view_.find<Record>(id);
  if (!record || before == nullptr) return !record && before == nullptr;
  return record_bytes(*record) == record_bytes(*before);
}

void Draft::drop_unchanged() {
  const auto drop = [this](auto& staged) {
    std::erase_if(staged.records, [this](const auto& item) { return is_unchanged(item.first, item.second); });
  };
  std::apply([&](auto&... staged) { (drop(staged), ...); }, staged_);
}

std::size_t Draft::changes() const {
  const std::size_t records = std::apply([](const auto&... staged) { return (staged.records.size() + ...); }, staged_);
  return records + extra_.writes.size();
}

port::Txn Draft::build() const {
  port::Txn txn;
  std::apply([&](const auto&... staged) { (build_kind(staged, txn), ...); }, staged_);
  txn.compares.insert(txn.compares.end(), extra_.compares.begin(), extra_.compares.end());
  txn.writes.insert(txn.writes.end(), extra_.writes.begin(), extra_.writes.end());
  return txn;
}

}  // namespace gantry::control
