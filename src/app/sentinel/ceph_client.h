// What the sentinel needs of a Ceph: small objects that are only replaced where they are what was read, and the clients
// that have an image open, which can be shut out. A call takes some seconds at most: it fails with timed_out then, and
// what it asked for may be done yet.
//
// Threads: a client is used by one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/rbd_location.h"

namespace gantry::sentinel {

// Of an error: this client was shut out itself. Another one is not.
inline constexpr const char* kShutOutReason = "ceph_client_shut_out";

struct CephObject {
  std::string bytes;
  // Grows with each change.
  std::uint64_t version = 0;
};

struct CephImageClient {
  // As Ceph tells it, such as "10.0.0.1:0/2345".
  std::string address;
  // Of the image's exclusive lock, if that client holds it: its owner and cookie, and the object that it is on.
  std::string lock_owner = {};
  std::string lock_cookie = {};
  std::string lock_object = {};

  bool operator==(const CephImageClient&) const = default;
};

class CephClient {
 public:
  virtual ~CephClient() = default;

  virtual Result<std::optional<CephObject>> read(const std::string& object) = 0;
  // Its version now; conflict where there is one.
  virtual Result<std::uint64_t> create(const std::string& object, const std::string& bytes) = 0;
  // Its version now; conflict where it has another one than `version`, or is gone.
  virtual Result<std::uint64_t> replace(const std::string& object, const std::string& bytes, std::uint64_t version) = 0;
  // Also when there was none.
  virtual Result<void> remove(const std::string& object) = 0;

  // Who may write to that image of the pool: who holds its lock, and who has it open. None when there is no such image.
  virtual Result<std::vector<CephImageClient>> clients_of(const std::string& image) = 0;
  // Nothing lands any more of what they write, and their locks are free.
  virtual Result<void> shut_out(const std::vector<CephImageClient>& clients) = 0;
};

using CephConnect = std::function<Result<std::unique_ptr<CephClient>>(const model::RbdLocation& pool)>;

// A real one, by the configuration file that the location names. Ceph's libraries are loaded for the first: without a
// pool of Ceph there is no need for them.
Result<std::unique_ptr<CephClient>> connect_to_ceph(const model::RbdLocation& pool);

// A pool, connected to when it is needed, and anew when the connection is of no more use.
class CephPool {
 public:
  CephPool(model::RbdLocation location, CephConnect connect)
      : location_(std::move(location)), connect_(std::move(connect)) {}

  template <class Call>
  auto call(Call work) -> decltype(work(std::declval<CephClient&>())) {
    if (!client_) {
      auto client = connect_(location_);
      if (!client) return fail(client.error());
      client_ = std::move(*client);
      silences_ = 0;
    }
    auto result = work(*client_);
    heard(result ? std::nullopt : std::optional(result.error()));
    return result;
  }

  [[nodiscard]] const model::RbdLocation& location() const { return location_; }
  // For what is to use a connection of its own.
  [[nodiscard]] const CephConnect& connect() const { return connect_; }

 private:
  void heard(const std::optional<Error>& error);

  model::RbdLocation location_;
  CephConnect connect_;
  std::unique_ptr<CephClient> client_;
  // So many calls in a row without an answer.
  int silences_ = 0;
};

}  // namespace gantry::sentinel
