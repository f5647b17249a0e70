// Where the record of one lease is kept: in a file beside a pool's disks (LeaseFile), or as an object in a pool of Ceph
// (LeaseObject). Its calls block for as long as the pool does, and come one after another, as do those of all places of
// one lane.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "host/lease.h"
#include "port/sentinel.h"

namespace gantry::sentinel {

class CephPool;

class LeasePlace {
 public:
  virtual ~LeasePlace() = default;

  // Nothing: there is none. What is there but cannot be read is a record of nobody.
  virtual Result<std::optional<host::LeaseRecord>> read() = 0;
  virtual Result<void> write(const host::LeaseWrite& write) = 0;
  // Also when there was none.
  virtual Result<void> remove() = 0;

  // Name of who shares a connection with it: nobody of another lane waits for it.
  [[nodiscard]] virtual std::string lane() const = 0;

  // The pool can refuse what a client still writes.
  [[nodiscard]] virtual bool fences() const { return false; }
  // From when it returns on, no write lands any more in the wish's images of who has them open now: the clients are
  // shut out for good. Fails without doing so when the record is not, or no more, this one (nothing: there is none), or
  // when the wish lacks images. Not on the thread of the other calls: it may take long.
  virtual Result<void> fence(const std::optional<host::LeaseRecord>& record, const port::LeaseWish& wish);
};

class LeasePlaces {
 public:
  // For the VM and the pool of the wish.
  std::shared_ptr<LeasePlace> at(const port::LeaseWish& wish);

 private:
  // By lane. Each is used on its lane's thread alone, and connects there.
  std::map<std::string, std::shared_ptr<CephPool>> ceph_;
};

}  // namespace gantry::sentinel
