// A thin hold on SQLite (https://sqlite.org/c3ref/intro.html). Failures are thrown as SqliteFailure, so that a
// transaction of many statements has one place to handle them; SqliteStore lets none of them out of this room.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace gantry::store {

struct SqliteFailure {
  // A primary result code (SQLITE_FULL...).
  int code = 0;
  // SQLite's words.
  std::string message;
};

class SqliteConnection {
 public:
  // Opens or creates. `vfs`: an SQLite VFS by name; empty: the system's files.
  SqliteConnection(const std::string& path, const std::string& vfs);

  // Statements without parameters, rows dropped.
  void execute(const std::string& sql);
  // The first column of the first row; 0 when there is none.
  std::int64_t query_integer(const std::string& sql);
  std::string query_text(const std::string& sql);

  void begin() { execute("BEGIN IMMEDIATE"); }
  void commit() { execute("COMMIT"); }
  // Does nothing when SQLite already rolled back.
  void rollback() noexcept;

  // Copies the log into the database file as far as that goes. False when it failed; the log stays then.
  bool checkpoint() noexcept;
  // How many pages the write-ahead log had after the last commit.
  [[nodiscard]] int log_pages() const { return *log_pages_; }

  [[nodiscard]] sqlite3* get() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::unique_ptr<int> log_pages_ = std::make_unique<int>(0);
  std::unique_ptr<sqlite3, Close> handle_;
};

// A prepared statement; must not outlive its connection.
class SqliteStatement {
 public:
  SqliteStatement(SqliteConnection& connection, std::string_view sql);

 private:
  friend class SqliteQuery;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

// One run of a statement. What is bound must outlive it. Only one run of a statement at a time.
class SqliteQuery {
 public:
  explicit SqliteQuery(SqliteStatement& statement) : handle_(statement.handle_.get()) {}
  ~SqliteQuery();
  SqliteQuery(const SqliteQuery&) = delete;
  SqliteQuery& operator=(const SqliteQuery&) = delete;

  // The next parameter.
  SqliteQuery& bind(std::uint64_t number);
  SqliteQuery& bind(std::string_view bytes);

  // True: a row is there; false: that was all.
  bool next();
  void run() {
    while (next()) {
    }
  }

  [[nodiscard]] std::uint64_t number(int column) const;
  [[nodiscard]] std::string bytes(int column) const;

 private:
  void check(int code) const;

  sqlite3_stmt* handle_;
  int bound_ = 0;
};

}  // namespace gantry::store
