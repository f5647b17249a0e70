// Whatever a watch says: revisions are handed on in order, each once, whole, and never one that was not wanted.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <string>
#include <utility>

#include "store/etcd_messages.h"
#include "store/etcd_watch_assembler.h"

using gantry::port::ChangeBatch;
using gantry::port::Revision;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Revision from = data[0];
  gantry::store::EtcdWatchAssembler assembler(from);
  Revision last = 0;
  // What was said since the watch began, to the last word.
  std::deque<std::pair<Revision, std::string>> said;
  const auto skip_older_than = [&](Revision revision) {
    while (!said.empty() && said.front().first < revision) said.pop_front();
  };
  const auto deliver = [&](const ChangeBatch& batch) {
    if (batch.revision < from || batch.revision <= last || batch.changes.empty()) std::abort();
    for (const auto& change : batch.changes) {
      if (change.entry.modified != batch.revision || change.entry.key.empty()) std::abort();
      skip_older_than(batch.revision);
      if (said.empty() || said.front() != std::pair(batch.revision, change.entry.key)) std::abort();
      said.pop_front();
    }
    // Nothing of that revision is left out.
    if (!said.empty() && said.front().first == batch.revision) std::abort();
    last = batch.revision;
  };
  // Answers one after another, each behind its length.
  for (std::size_t at = 1; at < size;) {
    const std::size_t length = std::min<std::size_t>(data[at], size - at - 1);
    etcdserverpb::WatchResponse answer;
    const bool parsed = answer.ParseFromArray(data + at + 1, static_cast<int>(length));
    for (const auto& event : answer.events()) {
      const auto revision = event.kv().mod_revision();
      said.emplace_back(revision > 0 ? static_cast<Revision>(revision) : 0, event.kv().key());
    }
    if (!parsed || !assembler.take(answer, deliver)) {
      assembler.restart();
      said.clear();
    }
    if (assembler.next() < from || (last != 0 && assembler.next() <= last)) std::abort();
    at += 1 + length;
  }
  return 0;
}
