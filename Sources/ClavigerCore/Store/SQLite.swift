import CSQLite
import ClavigerWire

/// What went wrong with the database.
package enum StoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is no database at the path.
    case missing(path: String)
    /// The file is there but is not a database of Claviger, or cannot be read.
    case unreadable(path: String, reason: String)
    /// A newer Claviger wrote it.
    case newer(path: String, found: Int, known: Int)
    /// SQLite refused a statement; the extended result code tells why.
    case failed(code: Int32, reason: String)
    /// A row holds what no version of Claviger writes.
    case corrupt(String)
    /// What allowed the change was taken back before it was made.
    case overtaken
    /// The token does not sign now, and what was to be written can wait until it does.
    case unsigned

    /// Another program has changed the database since it was believed.
    case changedOutside

    package var description: String {
        switch self {
        case .missing(let path): "there is no database at \(path): run 'claviger token init' first"
        case .unreadable(let path, let reason): "the database \(path) cannot be used: \(reason)"
        case .newer(let path, let found, let known):
            "the database \(path) has schema \(found), newer than \(known), the newest this version knows: install the version that wrote it"
        case .failed(let code, let reason): "the database refused a statement: \(reason) (SQLite \(code))"
        case .corrupt(let what): "the database is damaged: \(what)"
        case .changedOutside: "another program has changed the database: it must be verified before it counts again"
        case .overtaken: "the caller may not make this change any more"
        case .unsigned: "the token does not sign now"
        }
    }
}

/// A value to be bound to a parameter.
package enum SQLValue: Sendable {
    case integer(Int64)
    case text(String)
    case blob([UInt8])
    case null
}

/// One connection to a SQLite database: the thin layer over the C library. Used under a lock by whoever owns it.
package final class SQLiteConnection {
    private let database: OpaquePointer
    /// How many statements were run: what tests of equal steps count.
    private(set) var statements = 0
    /// What the rows are, for the head.
    let rows = RowDigest()
    // Released after the database is closed.
    let room: StoreRoom

    /// Opens the database at `path`, which must exist unless `create` is set.
    package init(path: String, create: Bool) throws(StoreError) {
        room = StoreRoom(path: path)
        var handle: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (create ? SQLITE_OPEN_CREATE : 0)
        let code = sqlite3_open_v2(path, &handle, flags, nil)
        guard code == SQLITE_OK, let handle else {
            let reason = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
            sqlite3_close_v2(handle)
            throw .unreadable(path: path, reason: reason)
        }
        database = handle
        sqlite3_busy_timeout(handle, 5_000)
        guard rows.register(with: handle) else { throw .unreadable(path: path, reason: "SQLite takes no function") }
    }

    deinit { sqlite3_close_v2(database) }

    /// Runs statements that give no rows.
    package func execute(_ sql: String) throws(StoreError) {
        statements += 1
        guard sqlite3_exec(database, sql, nil, nil, nil) == SQLITE_OK else { throw failure() }
    }

    /// Runs one statement and gives each of its rows to `row`.
    ///
    /// - Returns: how many rows it changed.
    @discardableResult
    package func run(
        _ sql: String, _ values: [SQLValue] = [], row: (SQLiteRow) throws(StoreError) -> Void = { _ in }
    ) throws(StoreError) -> Int {
        statements += 1
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(database, sql, -1, &statement, nil) == SQLITE_OK, let statement else { throw failure() }
        defer { sqlite3_finalize(statement) }
        for (index, value) in values.enumerated() {
            let position = Int32(index + 1)
            let code =
                switch value {
                case .integer(let number): sqlite3_bind_int64(statement, position, number)
                case .text(let text): clavigerBindText(statement, position, text, Int32(text.utf8.count))
                case .blob(let bytes): clavigerBindBlob(statement, position, bytes, Int32(bytes.count))
                case .null: sqlite3_bind_null(statement, position)
                }
            guard code == SQLITE_OK else { throw failure() }
        }
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW: try row(SQLiteRow(statement: statement))
            case SQLITE_DONE: return Int(sqlite3_changes(database))
            case _: throw failure()
            }
        }
    }

    /// Runs `body` in a transaction: all of it is durable when this returns, or none of it ever happened.
    package func transaction<R>(_ body: () throws(StoreError) -> R) throws(StoreError) -> R {
        try execute("BEGIN IMMEDIATE")
        do throws(StoreError) {
            let result = try body()
            try execute("COMMIT")
            return result
        } catch {
            // A rollback can fail only when SQLite has rolled back by itself already.
            sqlite3_exec(database, "ROLLBACK", nil, nil, nil)
            throw error
        }
    }

    /// A number that moves when another connection, of this or another program, has changed the database.
    func version() throws(StoreError) -> Int64 {
        var version: Int64 = 0
        try run("PRAGMA data_version") { row throws(StoreError) in version = row.integer(0) }
        return version
    }

    /// Requires that nobody else has changed the database since it was scanned.
    func requireOwn() throws(StoreError) {
        guard let known = rows.version else { return }
        guard try version() == known else { throw .changedOutside }
    }

    private func failure() -> StoreError {
        .failed(code: sqlite3_extended_errcode(database), reason: String(cString: sqlite3_errmsg(database)))
    }
}

/// The row that a statement stands at.
package struct SQLiteRow: ~Escapable {
    private let statement: OpaquePointer

    @_lifetime(immortal)
    fileprivate init(statement: OpaquePointer) { self.statement = statement }

    package func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }

    package func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }

    package func text(_ column: Int32) -> String {
        guard let bytes = sqlite3_column_text(statement, column) else { return "" }
        let buffer = UnsafeBufferPointer(start: bytes, count: Int(sqlite3_column_bytes(statement, column)))
        return String(decoding: buffer, as: UTF8.self)
    }

    package func blob(_ column: Int32) -> [UInt8] {
        guard let bytes = sqlite3_column_blob(statement, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: bytes, count: Int(sqlite3_column_bytes(statement, column))))
    }

    package func identifier<Kind>(_ column: Int32) throws(StoreError) -> Identifier<Kind> {
        let bytes = blob(column)
        guard bytes.count == 16, let id = Identifier<Kind>(bytes.span.bytes) else { throw .corrupt("an id has not 16 bytes") }
        return id
    }
}
