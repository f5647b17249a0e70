#include "server/event_hub.h"

#include <utility>

#include "server/change_event.h"

namespace gantry::server {

EventHub::EventHub(port::Store& store, PosterPtr poster, std::function<void(std::function<void()>)> retry_later)
    : store_(&store), client_(store, poster), poster_(std::move(poster)), retry_later_(std::move(retry_later)) {}

std::unique_ptr<EventHub::Subscription> EventHub::subscribe(port::Revision from, std::set<std::string> kinds,
                                                            Deliver deliver) {
  const std::uint64_t number = next_number_++;
  Client& client = clients_[number];
  client.last = from;
  client.kinds = std::move(kinds);
  client.deliver = std::move(deliver);
  auto subscription = std::make_unique<Subscription>(*this, number);
  if (shared_number_ == 0) {
    start(false);
  } else if (running_) {
    // Later, so that nothing is delivered before the caller has its subscription.
    poster_->post([this, number] {
      const auto found = clients_.find(number);
      if (found != clients_.end() && running_ && !found->second.begun) begin(number, found->second);
    });
  }
  return subscription;
}

void EventHub::remove(std::uint64_t number) {
  clients_.erase(number);
  if (!clients_.empty()) return;
  shared_.reset();
  shared_number_ = 0;
  running_ = false;
}

port::Revision EventHub::last_of(std::uint64_t number) const {
  const auto found = clients_.find(number);
  return found == clients_.end() ? 0 : found->second.last;
}

// A delivery may end its own or another subscription, so loops go by number.
std::vector<std::uint64_t> EventHub::numbers() const {
  std::vector<std::uint64_t> all;
  for (const auto& [number, client] : clients_) all.push_back(number);
  return all;
}

void EventHub::start(bool history_lost) {
  running_ = false;
  shared_.reset();
  const std::uint64_t mine = shared_number_ = next_watch_++;
  client_.range("/host/", [this, mine, history_lost](const Result<port::Range>& range) {
    if (mine != shared_number_) return;
    if (!range) return restart_later(history_lost);
    // Clients served before go on where they were, unless that is no place in this store any more.
    bool any_begun = false;
    for (const auto& [number, client] : clients_) any_begun = any_begun || client.begun;
    const bool lost = any_begun && (history_lost || last_ > range->revision);
    if (!any_begun || lost) last_ = range->revision;
    watch_shared(last_ + 1);
    running_ = true;
    for (const std::uint64_t number : numbers()) {
      const auto found = clients_.find(number);
      if (found == clients_.end()) continue;
      if (!found->second.begun) {
        begin(number, found->second);
      } else if (lost && !found->second.own) {
        resync(found->second);
      }
    }
  });
}

void EventHub::restart_later(bool history_lost) {
  const std::uint64_t mine = shared_number_;
  running_ = false;
  shared_.reset();
  retry_later_([this, mine, history_lost] {
    if (mine == shared_number_ && mine != 0) start(history_lost);
  });
}

void EventHub::watch_shared(port::Revision from) {
  const std::uint64_t mine = shared_number_;
  shared_ = store_->watch("/", from, [this, mine, poster = poster_](Result<port::ChangeBatch, port::StoreError> batch) {
    poster->post([this, mine, batch = std::move(batch)] {
      if (mine == shared_number_) on_shared(batch);
    });
  });
}

void EventHub::on_shared(const Result<port::ChangeBatch, port::StoreError>& batch) {
  if (!batch) return restart_later(batch.error() != port::StoreError::unavailable);
  last_ = batch->revision;
  std::set<std::string> kinds;
  for (const auto& [number, client] : clients_) kinds.insert(client.kinds.begin(), client.kinds.end());
  const std::vector<Item> items = items_of(*batch, kinds);
  for (const std::uint64_t number : numbers()) {
    const auto found = clients_.find(number);
    if (found == clients_.end() || !found->second.begun || found->second.own) continue;
    give(found->second, batch->revision, items);
  }
}

void EventHub::begin(std::uint64_t number, Client& client) {
  if (client.last == 0) client.last = last_;
  client.begun = true;
  if (client.last < last_) return watch_own(number, client);
  if (client.last == last_) return deliver(client, "id: " + std::to_string(client.last) + "\n: connected\n\n");
  // From the future: either the shared watch is a little behind the list the client read, or the store is another one.
  client_.range("/host/", [this, number](const Result<port::Range>& range) {
    const auto found = clients_.find(number);
    if (!range || found == clients_.end() || found->second.last <= range->revision) return;
    resync(found->second);
  });
  deliver(client, ": connected\n\n");
}

void EventHub::watch_own(std::uint64_t number, Client& client) {
  const std::uint64_t mine = client.own_number = next_watch_++;
  const auto callback = [this, number, mine, poster = poster_](Result<port::ChangeBatch, port::StoreError> batch) {
    poster->post([this, number, mine, batch = std::move(batch)] { on_own(number, mine, batch); });
  };
  client.own = store_->watch("/", client.last + 1, callback);
  deliver(client, ": connected\n\n");
}

void EventHub::on_own(std::uint64_t number, std::uint64_t own_number,
                      const Result<port::ChangeBatch, port::StoreError>& batch) {
  const auto found = clients_.find(number);
  if (found == clients_.end() || !found->second.own || found->second.own_number != own_number) return;
  Client& client = found->second;
  if (!batch) {
    client.own.reset();
    if (batch.error() != port::StoreError::unavailable) return resync(client);
    // Not begun: the shared watch must not serve it before it has caught up.
    client.begun = false;
    retry_later_([this, number] {
      const auto again = clients_.find(number);
      if (again != clients_.end() && !again->second.begun && running_) begin(number, again->second);
    });
    return;
  }
  // What the shared watch brought, it will not bring again: from there on it serves this client too.
  if (batch->revision >= last_) client.own.reset();
  give(client, batch->revision, items_of(*batch, client.kinds));
}

// By a copy, because the client may go while it runs.
void EventHub::deliver(const Client& client, const std::string& text) {
  const Deliver copy = client.deliver;
  copy(text);
}

void EventHub::give(Client& client, port::Revision revision, const std::vector<Item>& items) const {
  if (revision <= client.last) return;
  client.last = revision;
  std::string text;
  for (const Item& item : items) {
    if (!client.kinds.contains(item.kind)) continue;
    if (!text.empty()) text += "\n";
    text += item.text;
  }
  if (!text.empty()) deliver(client, text + "id: " + std::to_string(revision) + "\n\n");
}

void EventHub::resync(Client& client) const {
  client.last = last_;
  v1::ChangeEvent event;
  event.set_revision(last_);
  deliver(client, event_text("resync", event) + "id: " + std::to_string(last_) + "\n\n");
}

std::vector<EventHub::Item> EventHub::items_of(const port::ChangeBatch& batch, const std::set<std::string>& kinds) {
  std::vector<Item> items;
  for (const port::Change& change : batch.changes) {
    if (!kinds.contains(kind_of(change))) continue;
    const auto event = to_change_event(change);
    if (event) items.push_back({event->kind(), event_text("change", *event)});
  }
  return items;
}

}  // namespace gantry::server
