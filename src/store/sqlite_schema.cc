#include "store/sqlite_schema.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/unique_fd.h"

namespace gantry::store {
namespace {

// A page cache of 1 MiB: records are few and small, and the daemon must stay small too. EXCLUSIVE keeps the log's index
// in memory and other processes out; it stands before journal_mode, or a -shm file would be made.
constexpr const char* kSettings =
    "PRAGMA locking_mode=EXCLUSIVE;"
    "PRAGMA cache_size=-1024;"
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA foreign_keys=OFF;"
    "PRAGMA trusted_schema=OFF;";

constexpr const char* kDurability =
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=FULL;"
    "PRAGMA journal_size_limit=8388608;";

// `entry` is what is; `history` what happened, a row for each change, and `counter` one row of its own.
constexpr const char* kTables =
    "CREATE TABLE entry(key BLOB NOT NULL UNIQUE, value BLOB NOT NULL, created INTEGER NOT NULL,"
    "  modified INTEGER NOT NULL, lease INTEGER NOT NULL) STRICT;"
    "CREATE INDEX entry_lease ON entry(lease) WHERE lease != 0;"
    "CREATE TABLE history(revision INTEGER NOT NULL, place INTEGER NOT NULL, erased INTEGER NOT NULL,"
    "  key BLOB NOT NULL, value BLOB NOT NULL, created INTEGER NOT NULL, lease INTEGER NOT NULL,"
    "  PRIMARY KEY(revision, place)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE lease(id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE counter(revision INTEGER NOT NULL, history_begin INTEGER NOT NULL, last_lease INTEGER NOT NULL)"
    "  STRICT;"
    "INSERT INTO counter VALUES(0, 1, 0);";

constexpr int kBusyTimeoutMs = 1000;

Error system_error(const std::string& path, int error_number) {
  ErrorCode code = ErrorCode::unavailable;
  if (error_number == ENOENT || error_number == ENOTDIR) code = ErrorCode::not_found;
  if (error_number == EACCES || error_number == EPERM || error_number == EROFS) code = ErrorCode::permission_denied;
  if (error_number == ENOSPC || error_number == EDQUOT) code = ErrorCode::out_of_space;
  return Error{code, "cannot make the store \"" + path + "\"", std::generic_category().message(error_number),
               "make its directory, with room and the right to write, then start again"};
}

// The file must be the daemon's alone (it holds password hashes); SQLite gives its log the same mode. An existing file
// is left unopened: closing a descriptor of it would drop the locks of another connection in this process.
Result<void> make_private_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) {
    if (errno == EEXIST) return {};
    return fail(system_error(path, errno));
  }
  std::string directory = std::filesystem::path(path).parent_path();
  if (directory.empty()) directory = ".";
  const UniqueFd parent(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent.valid() || ::fsync(parent.get()) != 0) return fail(system_error(path, errno));
  return {};
}

Error open_error(const std::string& path, const SqliteFailure& failure) {
  const std::string what = "cannot open the store \"" + path + "\"";
  switch (failure.code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorCode::corrupt, what, "the file is damaged or no database: " + failure.message,
              "move it and its -wal file away and put back a backup of both; guests keep running meanwhile"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::conflict, what, "another process uses it", "stop the other gantryd, then start this one",
              "store_in_use"};
    case SQLITE_FULL:
      return {ErrorCode::out_of_space, what, "the disk is full", "make room on its file system, then start again"};
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return {ErrorCode::permission_denied, what, failure.message,
              "check that it is a file in a directory which gantryd may write"};
    default: return {ErrorCode::unavailable, what, failure.message, "check the disk it is on, then start again"};
  }
}

// Is this file ours, and of a version we know? Throws SqliteFailure.
Result<void> check_owner(SqliteConnection& connection, const std::string& path) {
  const std::int64_t application = connection.query_integer("PRAGMA application_id");
  const std::int64_t version = connection.query_integer("PRAGMA user_version");
  const std::string what = "cannot open the store \"" + path + "\"";
  const bool blank = connection.query_integer("SELECT count(*) FROM sqlite_master") == 0;
  if (blank && application == 0 && version == 0) return {};
  if (application != kSqliteApplicationId) {
    return fail(ErrorCode::unsupported, what, "it is a database of another program",
                "give gantryd another path for its store", "foreign_database");
  }
  if (version != kSqliteSchemaVersion) {
    return fail(ErrorCode::unsupported, what,
                "its tables are of version " + std::to_string(version) + ", this gantryd knows version " +
                    std::to_string(kSqliteSchemaVersion),
                "install the gantryd that wrote it, or a newer one", "newer_schema");
  }
  return {};
}

void create_tables(SqliteConnection& connection) {
  connection.begin();
  connection.execute(kTables);
  connection.execute("PRAGMA application_id=" + std::to_string(kSqliteApplicationId));
  connection.execute("PRAGMA user_version=" + std::to_string(kSqliteSchemaVersion));
  connection.commit();
}

Result<void> prepare(SqliteConnection& connection, const std::string& path) {
  sqlite3_busy_timeout(connection.get(), kBusyTimeoutMs);
  connection.execute(kSettings);
  if (Result<void> ours = check_owner(connection, path); !ours) return ours;
  connection.execute(kDurability);
  const std::string mode = connection.query_text("PRAGMA journal_mode");
  if (mode != "wal") throw SqliteFailure{SQLITE_IOERR, "no write-ahead log can be used there (" + mode + ")"};
  if (connection.query_integer("SELECT count(*) FROM sqlite_master") == 0) create_tables(connection);
  const std::string health = connection.query_text("PRAGMA quick_check(1)");
  if (health != "ok") throw SqliteFailure{SQLITE_CORRUPT, health};
  return {};
}

}  // namespace

Result<std::unique_ptr<SqliteConnection>> open_sqlite_database(const std::string& path, const std::string& vfs) {
  if (vfs.empty()) {
    if (Result<void> made = make_private_file(path); !made) return fail(std::move(made).error());
  }
  try {
    auto connection = std::make_unique<SqliteConnection>(path, vfs);
    if (Result<void> prepared = prepare(*connection, path); !prepared) return fail(std::move(prepared).error());
    return connection;
  } catch (const SqliteFailure& failure) {
    return fail(open_error(path, failure));
  }
}

}  // namespace gantry::store
