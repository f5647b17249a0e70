#include "store/etcd_range.h"

#include <algorithm>
#include <utility>

#include "store/etcd_messages.h"
#include "store/rules.h"

namespace gantry::store {
namespace {

constexpr int kRestartsMax = 5;

}  // namespace

EtcdRange::EtcdRange(EtcdClient& client, port::RangeRequest request, std::size_t page_entries,
                     port::Store::RangeCallback done)
    : client_(client),
      request_(std::move(request)),
      end_(range_end(request_)),
      page_entries_(std::max<std::size_t>(1, page_entries)),
      done_(std::move(done)) {}

void EtcdRange::start() {
  range_ = {};
  next_page();
}

void EtcdRange::next_page() {
  etcdserverpb::RangeRequest request;
  const std::string first = range_.entries.empty() ? request_.first : range_.entries.back().key + '\0';
  set_range(first, end_, request.mutable_key(), request.mutable_range_end());
  std::size_t limit = page_entries_;
  if (request_.limit != 0) limit = std::min(limit, request_.limit - range_.entries.size());
  request.set_limit(static_cast<std::int64_t>(limit));
  request.set_revision(static_cast<std::int64_t>(range_.revision));
  client_.range(std::move(request), [self = shared_from_this()](const auto& reply) { self->has_page(reply); });
}

void EtcdRange::has_page(const EtcdReply<etcdserverpb::RangeResponse>& reply) {
  if (is_compacted(reply.status) && range_.revision != 0 && ++restarts_ <= kRestartsMax) return start();
  if (!reply.ok() || !take(reply.message)) return fail();
  const bool enough = request_.limit != 0 && range_.entries.size() >= request_.limit;
  if (range_.more && !enough) return next_page();
  std::exchange(done_, nullptr)(std::move(range_));
}

bool EtcdRange::take(const etcdserverpb::RangeResponse& page) {
  const port::Revision present = revision_of(page.header());
  if (present == 0 || present < range_.revision) return false;
  if (range_.revision == 0) range_.revision = present;
  if (page.more() && page.kvs().empty()) return false;
  for (const etcdserverpb::KeyValue& kv : page.kvs()) {
    auto entry = to_entry(kv);
    if (!entry || entry->modified > range_.revision) return false;
    if (entry->key < request_.first || (!end_.empty() && entry->key >= end_)) return false;
    if (!range_.entries.empty() && entry->key <= range_.entries.back().key) return false;
    range_.entries.push_back(std::move(*entry));
  }
  if (request_.limit != 0 && range_.entries.size() > request_.limit) return false;
  range_.more = page.more();
  return true;
}

void EtcdRange::fail() { std::exchange(done_, nullptr)(tl::unexpected(port::StoreError::unavailable)); }

}  // namespace gantry::store
