#pragma once
// SQLite: the metadata store.
#include <sqlite3.h>

// SQLITE_TRANSIENT is a cast macro that Swift does not import: SQLite copies the bound bytes before returning.
static inline int clavigerBindBlob(sqlite3_stmt *statement, int index, const void *bytes, int count) {
    return sqlite3_bind_blob(statement, index, count == 0 ? "" : bytes, count, SQLITE_TRANSIENT);
}
static inline int clavigerBindText(sqlite3_stmt *statement, int index, const char *text, int count) {
    return sqlite3_bind_text(statement, index, text, count, SQLITE_TRANSIENT);
}
