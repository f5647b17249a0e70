// Who did what, through what, from where, and with what outcome: what was changed or tried to be, who signed in, who
// opened a console, and what was refused. Reads that are allowed are not kept. Nothing secret comes here: of a request
// only what it does and to what.
//
// Kept in chained files (audit_file.h) beside the store, not in it: they grow with refusals too, which must not cost
// guests' records their room, nor a commit each; and who can write to the store cannot rewrite them. Each entry goes to
// the log (the journal) with its hash as well.
//
// Refusals of one user, and those of everybody who is not signed in, are kept 60 a minute at most, so that nobody can
// push out by them what they did before; how many were left out is said by the next that is kept. What was allowed is
// always kept.
//
// Threads: the server's loop; files are read on a thread of its own.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/time.h"
#include "gantry/v1/routes.pb.h"
#include "runtime/worker_pool.h"
#include "server/audit_file.h"
#include "server/poster.h"

namespace gantry::server {

class AuditLog {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  // An empty directory: entries go to the log alone.
  AuditLog(AuditFileOptions options, PosterPtr poster, std::function<Now()> now);

  // When it fails each entry tries again.
  Result<void> open();
  // Fills in number, time and hash. What cannot be written is said in the log, and counted in the next that can be;
  // nothing is refused because of it.
  void record(v1::AuditEntry entry);
  // Newest first.
  void list(const v1::ListAuditRequest& request, const Done<v1::AuditList>& done);
  // Reads all that is kept and says whether the chain is whole.
  void check(const Done<v1::AuditCheck>& done);

 private:
  struct Budget {
    Milliseconds since_monotonic_ms = 0;
    std::uint64_t kept = 0;
    std::uint64_t left_out = 0;
  };
  // Whether a refusal is kept; takes what was left out before into it.
  bool within_budget(v1::AuditEntry& entry);
  // The hash; "-": it is not kept.
  std::string write(const v1::AuditEntry& entry);

  AuditFileOptions options_;
  PosterPtr poster_;
  std::function<Now()> now_;
  AuditFile file_;
  bool opened_ = false;
  std::uint64_t last_number_ = 0;
  // Since the last that was written.
  std::uint64_t lost_ = 0;
  std::map<std::string, Budget> budgets_;
  // Last: its thread ends first.
  runtime::WorkerPool worker_{1};
};

}  // namespace gantry::server
