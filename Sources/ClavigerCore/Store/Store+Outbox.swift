import ClavigerWire
import Synchronization

/// A record that waits for its place in the audit log.
package struct OutboxRow: Sendable, Equatable {
    package var id: OperationID
    /// The log's newest record when this one was made.
    package var after: UInt64
    /// The record's fields, as `AuditLog.append` takes them.
    package var body: [UInt8]
}

// The outbox: records of changes, durable with the change itself. Whoever keeps the log moves them there.
extension Store {
    /// Writes the record of a change, in the change's transaction, and anchors the log.
    func leave(_ note: ChangeNote, _ connection: SQLiteConnection) throws(StoreError) {
        try leave(AuditRecord(note, time: Clock.date(), trace: RequestTrace.current), connection)
    }

    /// Writes records of what is no change, for a time when the log takes none.
    ///
    /// - Parameter records: with their numbers in the log, where they may stand in it although that failed. The log may have been taken up
    ///   again meanwhile, and be beyond them.
    /// - Throws: `unsigned` while the token does not sign.
    func leave(_ records: [(record: AuditRecord, written: UInt64?)]) throws(StoreError) {
        _ = try transaction(canWait: true) { connection throws(StoreError) in
            for (record, sequence) in records { try leave(record, written: sequence, connection) }
            return 0
        }
        hasOutbox.store(true, ordering: .releasing)
    }

    private func leave(
        _ record: AuditRecord, written sequence: UInt64? = nil, _ connection: SQLiteConnection
    ) throws(StoreError) {
        var record = record
        let id: OperationID = record.id ?? RandomSource.identifier()
        record.id = id
        var instance = InstanceID(high: 0, low: 0)
        try connection.run("SELECT id FROM instance") { row throws(StoreError) in instance = try row.identifier(0) }
        var after: UInt64
        if let place = hooks.withLock({ $0.auditPosition }) {
            let position = place()
            try setAnchor(position, connection)
            after = position.sequence
        } else {
            after = try anchor(connection)?.sequence ?? 0
        }
        if let sequence { after = min(after, sequence - min(sequence, 1)) }
        try connection.run(
            "INSERT INTO audit_outbox (id, after, body) VALUES (?, ?, ?)",
            [.blob(id.bytes), .integer(Int64(bitPattern: after)), .blob(record.body(instance))])
    }

    /// The records that wait, in the order in which they were left.
    package func outbox() throws(StoreError) -> [OutboxRow] {
        try withConnection { connection throws(StoreError) in
            var rows: [OutboxRow] = []
            try connection.run("SELECT id, after, body FROM audit_outbox ORDER BY number") { row throws(StoreError) in
                rows.append(
                    OutboxRow(id: try row.identifier(0), after: UInt64(bitPattern: row.integer(1)), body: row.blob(2)))
            }
            return rows
        }
    }

    /// Forgets records that are in the log, and notes one that is there and on the disk, under one signature.
    ///
    /// - Throws: `unsigned` while the token does not sign.
    package func settle(_ position: AuditPosition?, forgetting ids: [OperationID]) throws(StoreError) {
        _ = try transaction(canWait: true) { connection throws(StoreError) in
            for id in ids { try connection.run("DELETE FROM audit_outbox WHERE id = ?", [.blob(id.bytes)]) }
            if let position { try setAnchor(position, connection) }
            return 0
        }
    }

    /// A record that the audit log must hold; nil before there was any.
    ///
    /// It stands in the head too, where nobody can change it and have it believed: the greater of both counts, so that who sets one of
    /// them back does not set the log's numbers back as well before the database has been verified.
    package func anchor() throws(StoreError) -> AuditPosition? {
        try withConnection { connection throws(StoreError) in
            let noted = try anchor(connection)
            let signed = try Store.head(connection).flatMap { head in
                AuditHash(head.auditHash).map { AuditPosition(sequence: head.auditSequence, hash: $0) }
            }
            return [noted, signed].compactMap { $0 }.filter { $0.sequence <= AuditLine.greatest }.max {
                $0.sequence < $1.sequence
            }
        }
    }

    private func anchor(_ connection: SQLiteConnection) throws(StoreError) -> AuditPosition? {
        var found: AuditPosition?
        try connection.run("SELECT sequence, hash FROM audit_anchor") { row throws(StoreError) in
            found = AuditHash(row.blob(1)).map { AuditPosition(sequence: UInt64(bitPattern: row.integer(0)), hash: $0) }
        }
        return found
    }

    private func setAnchor(_ position: AuditPosition, _ connection: SQLiteConnection) throws(StoreError) {
        // The log only grows; an older place must not stand in for a newer one.
        try connection.run(
            """
            INSERT INTO audit_anchor (one, sequence, hash) VALUES (1, ?, ?)
            ON CONFLICT (one) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash
            WHERE excluded.sequence > sequence
            """, [.integer(Int64(bitPattern: position.sequence)), .blob(position.hash.bytes)])
    }
}
