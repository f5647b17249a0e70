#include "sim/records.h"

#include <algorithm>

#include "model/keys.h"
#include "model/state.h"

namespace gantry::sim {

Records::Records(port::Store& store, Trace& trace) : trace_(trace) {
  watch_ = store.watch("/", 1, [this](const Result<port::ChangeBatch, port::StoreError>& batch) {
    if (batch) {
      apply(*batch);
    } else {
      trace_.violation("the store ended the checks' own watch");
    }
  });
}

bool Records::knows_pool_ready() const {
  return std::ranges::any_of(pools,
                             [](const auto& pool) { return pool.second.status().state() == v1::PoolStatus::READY; });
}

void Records::check_task(const v1::Task* before, const v1::Task& after) {
  if (before == nullptr || !model::is_ended(before->state()) || before->state() == after.state()) return;
  trace_.violation("task " + after.meta().id() + " had ended and changed its state again");
}

template <class Record>
void Records::change(std::map<std::string, Record>& records, const port::Change& change, const std::string& id) {
  if (change.kind == port::Write::Kind::erase) {
    records.erase(id);
    return;
  }
  Record record;
  if (!record.ParseFromString(change.entry.value)) {
    trace_.violation("the record at " + change.entry.key + " cannot be read");
    return;
  }
  committed_.try_emplace(id, trace_.now_ms());
  if (record.meta().has_deletion()) deleting_.insert(id);
  if constexpr (std::is_same_v<Record, v1::Task>) {
    const auto before = records.find(id);
    check_task(before == records.end() ? nullptr : &before->second, record);
  }
  records[id] = std::move(record);
}

void Records::apply(const port::ChangeBatch& batch) {
  std::string line = "revision " + std::to_string(batch.revision) + ":";
  for (const port::Change& one : batch.changes) {
    const bool erased = one.kind == port::Write::Kind::erase;
    line += (erased ? " -" : " ") + one.entry.key;
    const std::string& key = one.entry.key;
    if (key.rfind(model::prefix_of(model::kHost), 0) != 0) last_news_ = batch.revision;
    const auto id_in = [&key](std::string_view kind) {
      const std::string prefix = model::prefix_of(kind);
      return key.rfind(prefix, 0) == 0 ? key.substr(prefix.size()) : std::string();
    };
    if (const auto id = id_in(model::kVm); !id.empty()) {
      change(vms, one, id);
      if (!erased) line += "(" + v1::VmStatus::State_Name(vms[id].status().state()) + ")";
    }
    if (const auto id = id_in(model::kVolume); !id.empty()) {
      change(volumes, one, id);
      if (!erased) line += "(" + v1::VolumeStatus::State_Name(volumes[id].status().state()) + ")";
    }
    if (const auto id = id_in(model::kImage); !id.empty()) change(images, one, id);
    if (const auto id = id_in(model::kPool); !id.empty()) change(pools, one, id);
    if (const auto id = id_in(model::kNetwork); !id.empty()) change(networks, one, id);
    if (const auto id = id_in(model::kTask); !id.empty()) {
      change(tasks, one, id);
      if (!erased) line += "(" + tasks[id].action() + " " + v1::Task::State_Name(tasks[id].state()) + ")";
    }
  }
  trace_.note("store", line);
}

}  // namespace gantry::sim
