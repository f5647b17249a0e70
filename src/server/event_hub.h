// Fans changes of the store out to clients of /api/v1/events. All clients share one watch; one that resumes from an
// older revision has a watch of its own until it has caught up. The shared watch exists while there are clients.
//
// Each client gets every change of its kinds after its revision, in order. The id of an event stands at the last one of
// its revision only: a client cut off in between resumes before it and sees some again, but misses none. When history
// is gone it gets "resync" once: it must list again, and goes on from the revision in it.
//
// Threads: the server's loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/store_client.h"

namespace gantry::server {

class EventHub {
 public:
  // Whole server-sent events.
  using Deliver = std::function<void(const std::string& text)>;

  // Ends when destroyed, also from within `deliver`; must not outlive the hub.
  class Subscription {
   public:
    Subscription(EventHub& hub, std::uint64_t number) : hub_(&hub), number_(number) {}
    ~Subscription() { hub_->remove(number_); }
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    // Everything up to here was delivered (or did not concern the client); 0: not yet begun.
    [[nodiscard]] port::Revision last() const { return hub_->last_of(number_); }

   private:
    EventHub* hub_;
    std::uint64_t number_;
  };

  // `retry_later` calls back after about a second: how the hub waits for a store that is unavailable.
  EventHub(port::Store& store, PosterPtr poster, std::function<void(std::function<void()>)> retry_later);
  // `from` 0: from now on.
  std::unique_ptr<Subscription> subscribe(port::Revision from, std::set<std::string> kinds, Deliver deliver);

 private:
  struct Item {
    std::string kind;
    std::string text;
  };
  struct Client {
    bool begun = false;
    port::Revision last = 0;
    std::set<std::string> kinds;
    Deliver deliver;
    // Set while catching up; clients without one are fed by the shared watch.
    std::unique_ptr<port::Watch> own;
    std::uint64_t own_number = 0;
  };

  void remove(std::uint64_t number);
  [[nodiscard]] port::Revision last_of(std::uint64_t number) const;
  // Reads the current revision, then begins the shared watch there and lets waiting clients begin.
  void start(bool history_lost);
  void restart_later(bool history_lost);
  void watch_shared(port::Revision from);
  void on_shared(const Result<port::ChangeBatch, port::StoreError>& batch);
  void begin(std::uint64_t number, Client& client);
  void watch_own(std::uint64_t number, Client& client);
  void on_own(std::uint64_t number, std::uint64_t own_number, const Result<port::ChangeBatch, port::StoreError>& batch);
  static void deliver(const Client& client, const std::string& text);
  void give(Client& client, port::Revision revision, const std::vector<Item>& items) const;
  void resync(Client& client) const;
  static std::vector<Item> items_of(const port::ChangeBatch& batch, const std::set<std::string>& kinds);
  [[nodiscard]] std::vector<std::uint64_t> numbers() const;

  port::Store* store_;
  StoreClient client_;
  PosterPtr poster_;
  std::function<void(std::function<void()>)> retry_later_;
  std::map<std::uint64_t, Client> clients_;
  std::uint64_t next_number_ = 1;
  // Counts shared watches, so that late batches of an ended one are told apart; 0: none wanted.
  std::uint64_t shared_number_ = 0;
  std::uint64_t next_watch_ = 1;
  bool running_ = false;
  port::Revision last_ = 0;
  std::unique_ptr<port::Watch> shared_;
};

}  // namespace gantry::server
