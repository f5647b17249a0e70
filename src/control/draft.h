// Changes to records on top of a view, gathered into one transaction that commits only if none of the changed records
// changed meanwhile.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "control/view.h"

namespace gantry::control {

class Draft {
 public:
  // `view` must outlive the draft and not change.
  explicit Draft(const View& view) : view_(view) {}

  [[nodiscard]] const View& view() const { return view_; }

  // As changed here; nullptr when there is none or it was erased here.
  template <class Record>
  [[nodiscard]] const Record* find(const std::string& id) const {
    const auto& staged = std::get<Staged<Record>>(staged_).records;
    const auto found = staged.find(id);
    if (found == staged.end()) return view_.find<Record>(id);
    return found->second ? &*found->second : nullptr;
  }
  // To change it; it must exist. What is left as it was is not written.
  template <class Record>
  Record& edit(const std::string& id) {
    ++touches_;
    auto& staged = std::get<Staged<Record>>(staged_).records;
    const auto found = staged.find(id);
    if (found != staged.end()) return *found->second;
    return *staged.emplace(id, *view_.find<Record>(id)).first->second;
  }
  template <class Record>
  Record& create(Record record) {
    ++touches_;
    const std::string id = record.meta().id();
    return *std::get<Staged<Record>>(staged_).records.emplace(id, std::move(record)).first->second;
  }
  // With its name.
  template <class Record>
  void erase(const std::string& id) {
    ++touches_;
    std::get<Staged<Record>>(staged_).records[id] = std::nullopt;
  }
  // Whether a record of that kind has that name, here or in the view.
  template <class Record>
  [[nodiscard]] bool has_name(const std::string& name) const {
    if (view_.all<Record>().id_by_name.count(name) != 0) return true;
    for (const auto& [id, record] : std::get<Staged<Record>>(staged_).records) {
      if (record && record->meta().name() == name) return true;
    }
    return false;
  }

  void compare(std::string key, port::Revision modified) { extra_.compares.push_back({std::move(key), modified}); }
  void put(std::string key, std::string value) {
    extra_.writes.push_back({.kind = port::Write::Kind::put, .key = std::move(key), .value = std::move(value)});
  }
  void erase_key(std::string key) {
    extra_.writes.push_back({.kind = port::Write::Kind::erase, .key = std::move(key), .value = {}});
  }
  // Makes it conflict with every other change accepted from this view, as that task.
  void guard(const std::string& task_id);
  // The same for a round that reserves something. The word of the last call stays: whether that was committed is told
  // by it.
  void guard();
  [[nodiscard]] bool is_guarded() const { return guarded_; }

  // How often records were given out to be changed: while this is the same, none came to be another.
  [[nodiscard]] std::uint64_t touches() const { return touches_; }
  // How many records and keys were touched.
  [[nodiscard]] std::size_t changes() const;
  // Forgets the records that were touched but are as they were. What edit() answered before is not to be used any more.
  void drop_unchanged();
  // Without writes when nothing changed.
  [[nodiscard]] port::Txn build() const;

 private:
  template <class Record>
  struct Staged {
    std::map<std::string, std::optional<Record>> records;
  };
  template <class Record>
  [[nodiscard]] bool is_unchanged(const std::string& id, const std::optional<Record>& record) const;
  template <class Record>
  static void erase_name(const Staged<Record>& staged, const std::string& name, port::Txn& txn);
  template <class Record>
  void build_kind(const Staged<Record>& staged, port::Txn& txn) const;

  const View& view_;
  EachKind<Staged> staged_;
  port::Txn extra_;
  std::uint64_t touches_ = 0;
  bool guarded_ = false;
};

}  // namespace gantry::control
