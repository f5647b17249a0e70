#include "store/sqlite_connection.h"

#include <sqlite3.h>

namespace gantry::store {
namespace {

[[noreturn]] void raise(sqlite3* handle, int code) {
  throw SqliteFailure{code & 0xFF, handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code)};
}

int remember_log_pages(void* pages, sqlite3* /*handle*/, const char* /*database*/, int count) {
  *static_cast<int*>(pages) = count;
  return SQLITE_OK;
}

// SQLITE_STATIC without its old-style cast: SQLite need not copy what is bound.
constexpr sqlite3_destructor_type kNoCopy = nullptr;

}  // namespace

void SqliteConnection::Close::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }

SqliteConnection::SqliteConnection(const std::string& path, const std::string& vfs) {
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, vfs.empty() ? nullptr : vfs.c_str());
  handle_.reset(handle);
  if (code != SQLITE_OK) raise(handle, code);
  // Replaces the automatic checkpoint, which would make whoever commits wait for it. PRAGMA wal_autocheckpoint would in
  // turn replace this.
  sqlite3_wal_hook(handle, remember_log_pages, log_pages_.get());
}

void SqliteConnection::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) raise(handle_.get(), code);
}

std::int64_t SqliteConnection::query_integer(const std::string& sql) {
  SqliteStatement statement(*this, sql);
  SqliteQuery query(statement);
  return query.next() ? static_cast<std::int64_t>(query.number(0)) : 0;
}

std::string SqliteConnection::query_text(const std::string& sql) {
  SqliteStatement statement(*this, sql);
  SqliteQuery query(statement);
  return query.next() ? query.bytes(0) : std::string();
}

void SqliteConnection::rollback() noexcept {
  if (sqlite3_get_autocommit(handle_.get()) == 0) {
    sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

bool SqliteConnection::checkpoint() noexcept {
  const int code = sqlite3_wal_checkpoint_v2(handle_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code == SQLITE_OK) *log_pages_ = 0;
  return code == SQLITE_OK;
}

void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

SqliteStatement::SqliteStatement(SqliteConnection& connection, std::string_view sql) {
  sqlite3_stmt* handle = nullptr;
  const int code = sqlite3_prepare_v3(connection.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) raise(connection.get(), code);
}

SqliteQuery::~SqliteQuery() {
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
}

SqliteQuery& SqliteQuery::bind(std::uint64_t number) {
  check(sqlite3_bind_int64(handle_, ++bound_, static_cast<sqlite3_int64>(number)));
  return *this;
}

SqliteQuery& SqliteQuery::bind(std::string_view bytes) {
  // A null pointer would bind NULL.
  const char* data = bytes.data() != nullptr ? bytes.data() : "";
  check(sqlite3_bind_blob64(handle_, ++bound_, data, bytes.size(), kNoCopy));
  return *this;
}

bool SqliteQuery::next() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) raise(sqlite3_db_handle(handle_), code);
  return false;
}

std::uint64_t SqliteQuery::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(handle_, column));
}

std::string SqliteQuery::bytes(int column) const {
  const void* data = sqlite3_column_blob(handle_, column);
  const int size = sqlite3_column_bytes(handle_, column);
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), static_cast<std::size_t>(size));
}

void SqliteQuery::check(int code) const {
  if (code != SQLITE_OK) raise(sqlite3_db_handle(handle_), code);
}

}  // namespace gantry::store
