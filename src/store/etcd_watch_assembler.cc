#include "store/etcd_watch_assembler.h"

#include <utility>

#include "store/etcd_messages.h"

namespace gantry::store {
namespace {

// Far beyond what one transaction can hold.
constexpr std::size_t kBatchBytesMax = 256U << 20U;

std::optional<port::Change> to_change(const etcdserverpb::Event& event) {
  const etcdserverpb::KeyValue& kv = event.kv();
  if (event.type() == etcdserverpb::Event::PUT) {
    auto entry = to_entry(kv);
    if (!entry) return std::nullopt;
    return port::Change{port::Write::Kind::put, std::move(*entry)};
  }
  if (event.type() != etcdserverpb::Event::DELETE || kv.key().empty() || kv.mod_revision() <= 0) return std::nullopt;
  port::Change change{port::Write::Kind::erase, {}};
  change.entry.key = kv.key();
  change.entry.modified = static_cast<port::Revision>(kv.mod_revision());
  return change;
}

}  // namespace

bool EtcdWatchAssembler::take(const etcdserverpb::WatchResponse& answer, const Deliver& deliver) {
  for (const etcdserverpb::Event& event : answer.events()) {
    if (!add(event, deliver)) return false;
  }
  if (answer.fragment()) return true;
  flush(deliver);
  // Without changes it says how far the watch has come: all of this revision is told.
  const port::Revision told = revision_of(answer.header());
  if (answer.events().empty() && !answer.created() && told >= next_) next_ = told + 1;
  return true;
}

bool EtcdWatchAssembler::add(const etcdserverpb::Event& event, const Deliver& deliver) {
  auto change = to_change(event);
  if (!change) return false;
  const port::Revision revision = change->entry.modified;
  // Told before, or asked for only so that etcd says whether it was forgotten.
  if (revision < next_) return true;
  if (!batch_.changes.empty() && revision < batch_.revision) return false;
  if (revision != batch_.revision) flush(deliver);
  batch_.revision = revision;
  batch_bytes_ += change->entry.key.size() + change->entry.value.size() + sizeof(port::Change);
  batch_.changes.push_back(std::move(*change));
  return batch_bytes_ <= kBatchBytesMax;
}

void EtcdWatchAssembler::flush(const Deliver& deliver) {
  if (batch_.changes.empty()) return;
  const port::ChangeBatch whole = std::exchange(batch_, {});
  batch_bytes_ = 0;
  next_ = whole.revision + 1;
  deliver(whole);
}

void EtcdWatchAssembler::restart() {
  batch_ = {};
  batch_bytes_ = 0;
}

}  // namespace gantry::store
