// The tables of the store in an SQLite file, and how such a file is opened, made and refused.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "store/sqlite_connection.h"

namespace gantry::store {

// In PRAGMA user_version. Raise it with every change of the tables, and convert what is older.
inline constexpr int kSqliteSchemaVersion = 1;
// In PRAGMA application_id: "GnSt".
inline constexpr int kSqliteApplicationId = 0x476E5374;

// A connection that alone may use the file, with durable commits (WAL, synchronous=FULL) and the tables in place.
// corrupt: damaged, or no database; unsupported: of a newer Gantry, or of another program; conflict with reason
// "store_in_use": another process has it; not_found, permission_denied, out_of_space, unavailable: the system said so.
Result<std::unique_ptr<SqliteConnection>> open_sqlite_database(const std::string& path, const std::string& vfs);

}  // namespace gantry::store
