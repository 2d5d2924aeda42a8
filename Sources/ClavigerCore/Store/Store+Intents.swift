import ClavigerWire

extension Store {
    /// The intent under an operation id.
    package func intent(_ operation: OperationID) throws(StoreError) -> Intent? {
        try intents("operation = ?", [.blob(operation.bytes)]).first
    }

    /// The changes that were begun and have neither been done nor failed.
    package func openIntents() throws(StoreError) -> [Intent] {
        try intents("state = 0 ORDER BY created_ms", [])
    }

    private func intents(_ condition: String, _ values: [SQLValue]) throws(StoreError) -> [Intent] {
        try withConnection { connection throws(StoreError) in
            var intents: [Intent] = []
            try connection.run(
                """
                SELECT operation, uid, opcode, body_digest, key, name, version, suite, created_ms, state, reply, details FROM intent
                WHERE \(condition)
                """, values
            ) { row throws(StoreError) in
                guard let opcode = Opcode(rawValue: UInt16(truncatingIfNeeded: row.integer(2))),
                    let state = IntentState(rawValue: row.integer(9))
                else { throw .corrupt("an intent holds an unknown opcode or state") }
                intents.append(
                    Intent(
                        operation: try row.identifier(0), uid: row.number(1), opcode: opcode, bodyDigest: row.blob(3),
                        key: try row.identifier(4), name: row.text(5), version: row.number(6),
                        suite: try row.value(7, "an intent's suite"), created: row.unsigned(8), state: state,
                        reply: row.blob(10), details: row.blob(11)))
            }
            return intents
        }
    }

    /// Begins a change, or begins again one that failed. Finished intents older than `horizon` are forgotten in the same transaction.
    ///
    /// - Parameter nonce: of an import, to be used up in the same transaction.
    package func begin(_ intent: Intent, forgetBefore horizon: UInt64, burning nonce: [UInt8]? = nil) throws(StoreError) {
        _ = try transaction { connection throws(StoreError) in
            if let nonce { try connection.burn(nonce: nonce) }
            try connection.write(intent, forgetBefore: horizon)
        }
    }

    /// Ends a change as failed: nothing of it remains.
    ///
    /// - Parameter orders: objects that it has made on the token and that are to be destroyed.
    package func fail(_ operation: OperationID, destroying orders: [DestroyOrder] = []) throws(StoreError) {
        _ = try transaction { connection throws(StoreError) in
            try connection.failIntent(operation)
            for order in orders { try connection.insert(order) }
        }
    }

    /// Ends a change as done: the version, the key's pointer to it (or the key itself) and the intent's reply, all or nothing.
    ///
    /// - Parameters:
    ///   - before: the key as it was; nil for a new one.
    ///   - rest: what else belongs to the change.
    func commit(
        _ intent: Intent, key: StoredKey, from before: StoredKey?, version: StoredVersion, reply: [UInt8], note: ChangeNote?,
        rest: (SQLiteConnection) throws(StoreError) -> Void = { _ in }
    ) throws(StoreError) {
        try change(note) { connection throws(StoreError) in
            if let before {
                // Only the direct successor: two rotations can never both think they made the newest version.
                guard version.version == before.version + 1 else {
                    throw .corrupt("version \(version.version) of key \(key.id) would follow \(before.version)")
                }
                try connection.update(key, from: before)
            } else {
                try connection.insert(key)
            }
            try connection.insert(version)
            try rest(connection)
            try connection.endIntent(intent.operation, reply: reply)
        }
    }
}

extension SQLiteConnection {
    /// Notes that a change that was begun is done, and its answer.
    func endIntent(_ operation: OperationID, reply: [UInt8]) throws(StoreError) {
        let changed = try run(
            "UPDATE intent SET state = 1, reply = ? WHERE operation = ? AND state = 0",
            [.blob(reply), .blob(operation.bytes)])
        guard changed == 1 else { throw .corrupt("the change \(operation) has been ended already") }
    }

    /// Notes that a change that was begun has come to nothing.
    func failIntent(_ operation: OperationID) throws(StoreError) {
        try run("UPDATE intent SET state = 2 WHERE operation = ? AND state = 0", [.blob(operation.bytes)])
    }

    /// Writes an intent over an earlier one of its operation, and forgets finished ones older than `horizon`.
    func write(_ intent: Intent, forgetBefore horizon: UInt64) throws(StoreError) {
        try run("DELETE FROM intent WHERE state IN (1, 2) AND created_ms < ?", [.unsigned(horizon)])
        try run(
            """
            INSERT OR REPLACE INTO intent (operation, uid, opcode, body_digest, key, name, version, suite, created_ms, state, reply,
                details)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                .blob(intent.operation.bytes), .integer(Int64(intent.uid)), .integer(Int64(intent.opcode.rawValue)),
                .blob(intent.bodyDigest), .blob(intent.key.bytes), .text(intent.name), .integer(Int64(intent.version)),
                .integer(Int64(intent.suite.rawValue)), .unsigned(intent.created), .integer(intent.state.rawValue),
                .blob(intent.reply), .blob(intent.details),
            ])
    }
}
