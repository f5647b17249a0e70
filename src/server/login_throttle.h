// Slows down guessing of passwords, per user and per address. Pure: the time is handed in.
//
// A user has 5 attempts, an address 20; after those each further one must wait twice as long as the one before, up to
// one minute for a user (so that nobody is locked out by others for long) and five for an address. What lies 15 minutes
// back is forgotten; a success forgets the user's failures and one of the address's.
#pragma once

#include <map>
#include <string>

#include "base/time.h"

namespace gantry::server {

class LoginThrottle {
 public:
  // How long to wait before an attempt may be made. 0: now, and the attempt is counted as failed until succeeded().
  Milliseconds begin(const std::string& user, const std::string& address, Milliseconds now_ms);
  void succeeded(const std::string& user, const std::string& address);

 private:
  struct Record {
    int attempts = 0;
    Milliseconds last_ms = 0;
  };
  struct Limit {
    int free_attempts;
    Milliseconds wait_max_ms;
  };
  using Records = std::map<std::string, Record>;

  static Milliseconds wait_of(const Records& records, const std::string& key, const Limit& limit, Milliseconds now_ms);
  static void count(Records& records, const std::string& key, Milliseconds now_ms);

  Records users_;
  Records addresses_;
};

}  // namespace gantry::server
