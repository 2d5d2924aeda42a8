import ClavigerWire
import Glibc
import Synchronization

/// The metadata store: what is known about keys, apart from their material.
///
/// Everything written is durable when a call returns (WAL, synchronous=FULL). One connection behind one lock: changes are rare,
/// and requests that use keys read an immutable snapshot instead.
package final class Store: Sendable {
    // SQLiteConnection is not Sendable; it never leaves the lock.
    private let connection: Mutex<SQLiteConnection>
    /// What is asked of others.
    let hooks = Mutex(StoreHooks())
    /// Whether records may wait for the log. Set after each is durable, so that a look at the table is worth its cost.
    let hasOutbox = Atomic(true)
    /// The database file.
    package let path: String

    /// Who signs what changes; nil before the database was believed.
    let signer = Mutex<(any HeadSigner)?>(nil)

    /// The database's name in the state directory.
    package static let fileName = "claviger.db"

    /// Opens the database in `directory` and brings it to the newest schema.
    ///
    /// - Parameter create: make it when it is missing (only `token init` does).
    package init(directory: String, create: Bool) throws(StoreError) {
        path = directory + "/" + Store.fileName
        guard create || access(path, F_OK) == 0 else { throw .missing(path: path) }
        let mask = umask(0o077)
        defer { umask(mask) }
        let connection = try SQLiteConnection(path: path, create: create)
        do throws(StoreError) {
            try Store.prepare(connection, path: path, create: create)
        } catch {
            if case .failed(_, let reason) = error { throw .unreadable(path: path, reason: reason) }
            throw error
        }
        self.connection = Mutex(connection)
    }

    private static func prepare(_ connection: SQLiteConnection, path: String, create: Bool) throws(StoreError) {
        var application: Int64 = 0
        var version = 0
        // The first read tells whether this is a database at all; nothing is written before both numbers are known to be ours.
        try connection.run("PRAGMA application_id") { row throws(StoreError) in application = row.integer(0) }
        try connection.run("PRAGMA user_version") { row throws(StoreError) in version = Int(row.integer(0)) }
        var isEmpty = false
        try connection.run("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)") { row throws(StoreError) in
            isEmpty = row.integer(0) == 1
        }
        // Most programs leave both numbers at 0, so only a database without any table counts as new.
        let isNew = application == 0 && version == 0 && isEmpty && create
        guard isNew || application == Migrations.applicationID else {
            throw .unreadable(path: path, reason: "it is not a database of Claviger")
        }
        guard version >= 0 else { throw .unreadable(path: path, reason: "its schema has number \(version)") }
        guard version <= Migrations.steps.count else {
            throw .newer(path: path, found: version, known: Migrations.steps.count)
        }
        try connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
        for step in version..<Migrations.steps.count {
            try connection.transaction { () throws(StoreError) in
                try connection.execute(Migrations.steps[step])
                try connection.execute("PRAGMA application_id = \(Migrations.applicationID)")
                try connection.execute("PRAGMA user_version = \(step + 1)")
            }
        }
        try HeadTables.watch(connection)
    }

    /// Keeps room on the disk for what must work on a full one.
    ///
    /// - Returns: false when there is none.
    package func keepRoom() -> Bool { connection.withLock { $0.room.keep() } }

    /// Reads with the connection, alone. Nothing is returned that another program may have written since the database was believed.
    func withConnection<R: Sendable>(_ body: (SQLiteConnection) throws(StoreError) -> R) throws(StoreError) -> R {
        try noticing { () throws(StoreError) in
            try alone { connection throws(StoreError) in
                let result = try body(connection)
                // Behind it, so that it covers every statement.
                try connection.requireOwn()
                return result
            }
        }
    }

    private func noticing<R>(_ body: () throws(StoreError) -> R) throws(StoreError) -> R {
        do throws(StoreError) { return try body() } catch {
            if error == .changedOutside { hooks.withLock { $0.whenForeign }?() }
            throw error
        }
    }

    /// Runs `body` with the connection, alone, whoever has changed the database.
    func alone<R: Sendable>(_ body: (SQLiteConnection) throws(StoreError) -> R) throws(StoreError) -> R {
        let outcome: Result<R, StoreError> = connection.withLock { connection in
            do throws(StoreError) { return .success(try body(connection)) } catch { return .failure(error) }
        }
        return try outcome.get()
    }

    /// Makes a change of what the instance answers for (keys, rings, policies, access), with its note for the audit log, in one
    /// transaction: both are durable when this returns, or neither ever happened.
    ///
    /// Whatever an admin would call a change comes through here. Counters and the daemon's own bookkeeping use `transaction`.
    ///
    /// - Parameter note: what the audit log is to say of it; nil when the change's own request says it elsewhere.
    func change<R: Sendable>(
        _ note: ChangeNote?, _ body: (SQLiteConnection) throws(StoreError) -> R
    ) throws(StoreError) -> R {
        let admission = hooks.withLock { $0.admission }
        let result = try transaction { connection throws(StoreError) in
            if let note, let admission, !admission(note) { throw .overtaken }
            let result = try body(connection)
            if let note { try leave(note, connection) }
            return result
        }
        if let note {
            hasOutbox.store(true, ordering: .releasing)
            // What the daemon does by itself on the way is no record of the request.
            if note.caller != nil { RequestTrace.current?.changes += 1 }
        }
        return result
    }

    /// Runs `body` in a transaction, alone.
    ///
    /// - Parameter canWait: whether it is not done at all while the token does not sign: a database that was left unsigned has to be
    ///   accepted by an operator after a crash, which only a change is worth.
    /// - Throws: `unsigned` for what can wait.
    func transaction<R: Sendable>(
        canWait: Bool = false, _ body: (SQLiteConnection) throws(StoreError) -> R
    ) throws(StoreError) -> R {
        let signer = signer.withLock { $0 }
        return try noticing { () throws(StoreError) in
            try alone { connection throws(StoreError) in
                try Store.signing(connection, signer, canWait: canWait) { () throws(StoreError) in try body(connection) }
            }
        }
    }
}
