// Slows down guessing of passwords, per network and per user at a network. Pure: the time is handed in.
//
// From one network a user has 5 attempts, and all users together 20; after those each further one must wait twice as
// long as the one before, up to one minute for the user and five for the network. Strangers elsewhere cannot make a
// user wait. What lies 15 minutes back is forgotten, and so is the oldest of more than 4,096; a success forgets the
// user's failures there and one of the network's.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "base/time.h"

namespace gantry::server {

// One address under IPv4, one subscriber's network (/64) under IPv6: nobody has 2^64 places to guess from.
std::string network_of(const std::string& address);

class LoginThrottle {
 public:
  // How long to wait before an attempt may be made. 0: now, and the attempt is counted as failed until succeeded().
  Milliseconds begin(const std::string& user, const std::string& network, Milliseconds now_ms);
  void succeeded(const std::string& user, const std::string& network);

 private:
  struct Record {
    int attempts = 0;
    Milliseconds last_ms = 0;
  };
  struct Limit {
    int free_attempts;
    Milliseconds wait_max_ms;
  };
  template <class Key>
  using Records = std::map<Key, Record>;
  using UserThere = std::pair<std::string, std::string>;

  template <class Key>
  static Milliseconds wait_of(const Records<Key>& records, const Key& key, const Limit& limit, Milliseconds now_ms);
  template <class Key>
  static void count(Records<Key>& records, const Key& key, Milliseconds now_ms);

  Records<UserThere> users_;
  Records<std::string> networks_;
};

}  // namespace gantry::server
