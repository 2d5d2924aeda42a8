import ClavigerWire

extension Store {
    /// All keys.
    package func keys() throws(StoreError) -> [StoredKey] { try keys("", []) }

    /// The key of this id.
    package func key(_ id: KeyID) throws(StoreError) -> StoredKey? {
        try keys("WHERE id = ?", [.blob(id.bytes)]).first
    }

    private func keys(_ condition: String, _ values: [SQLValue]) throws(StoreError) -> [StoredKey] {
        try withConnection { connection throws(StoreError) in
            var keys: [StoredKey] = []
            try connection.run("SELECT id, name, state, created_ms, version FROM key \(condition)", values) {
                row throws(StoreError) in
                guard let state = KeyState(rawValue: UInt8(truncatingIfNeeded: row.integer(2))) else {
                    throw .corrupt("a key has state \(row.integer(2))")
                }
                keys.append(
                    StoredKey(
                        id: try row.identifier(0), name: row.text(1), state: state, created: UInt64(bitPattern: row.integer(3)),
                        version: UInt32(truncatingIfNeeded: row.integer(4))))
            }
            return keys
        }
    }

    /// All versions of all keys, by key and ascending version.
    package func versions() throws(StoreError) -> [StoredVersion] {
        try withConnection { connection throws(StoreError) in
            var versions: [StoredVersion] = []
            try connection.run(
                """
                SELECT key, version, suite, created_ms, known_answer, known_answer_digest, wraps_reserved FROM key_version
                ORDER BY key, version
                """
            ) { row throws(StoreError) in
                guard let suite = Suite(rawValue: UInt8(truncatingIfNeeded: row.integer(2))) else {
                    throw .corrupt("a key version has suite \(row.integer(2))")
                }
                versions.append(
                    StoredVersion(
                        key: try row.identifier(0), version: UInt32(truncatingIfNeeded: row.integer(1)), suite: suite,
                        created: UInt64(bitPattern: row.integer(3)),
                        knownAnswer: KnownAnswer(ciphertext: row.blob(4), digest: row.blob(5)),
                        wrapsReserved: UInt64(bitPattern: row.integer(6))))
            }
            return versions
        }
    }

    /// Raises a version's reserved number of encryptions; never lowers it.
    package func reserveWraps(_ key: KeyID, _ version: UInt32, upTo reserved: UInt64) throws(StoreError) {
        let changed = try transaction { connection throws(StoreError) in
            try connection.run(
                "UPDATE key_version SET wraps_reserved = max(wraps_reserved, ?) WHERE key = ? AND version = ?",
                [.integer(Int64(bitPattern: reserved)), .blob(key.bytes), .integer(Int64(version))])
        }
        guard changed == 1 else { throw .corrupt("version \(version) of key \(key) has no row") }
    }

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
                SELECT operation, uid, opcode, body_digest, key, name, version, suite, created_ms, state, reply FROM intent
                WHERE \(condition)
                """, values
            ) { row throws(StoreError) in
                guard let opcode = Opcode(rawValue: UInt16(truncatingIfNeeded: row.integer(2))),
                    let suite = Suite(rawValue: UInt8(truncatingIfNeeded: row.integer(7))),
                    let state = IntentState(rawValue: row.integer(9))
                else { throw .corrupt("an intent holds an unknown opcode, suite or state") }
                intents.append(
                    Intent(
                        operation: try row.identifier(0), uid: UInt32(truncatingIfNeeded: row.integer(1)), opcode: opcode,
                        bodyDigest: row.blob(3), key: try row.identifier(4), name: row.text(5),
                        version: UInt32(truncatingIfNeeded: row.integer(6)), suite: suite,
                        created: UInt64(bitPattern: row.integer(8)), state: state, reply: row.blob(10)))
            }
            return intents
        }
    }

    /// Begins a change, or begins again one that failed. Finished intents older than `horizon` are forgotten in the same transaction.
    package func begin(_ intent: Intent, forgetBefore horizon: UInt64) throws(StoreError) {
        _ = try transaction { connection throws(StoreError) in
            try connection.run("DELETE FROM intent WHERE state <> 0 AND created_ms < ?", [.integer(Int64(bitPattern: horizon))])
            return try connection.run(
                """
                INSERT OR REPLACE INTO intent (operation, uid, opcode, body_digest, key, name, version, suite, created_ms, state, reply)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                [
                    .blob(intent.operation.bytes), .integer(Int64(intent.uid)), .integer(Int64(intent.opcode.rawValue)),
                    .blob(intent.bodyDigest), .blob(intent.key.bytes), .text(intent.name), .integer(Int64(intent.version)),
                    .integer(Int64(intent.suite.rawValue)), .integer(Int64(bitPattern: intent.created)),
                    .integer(intent.state.rawValue), .blob(intent.reply),
                ])
        }
    }

    /// Ends a change as failed: nothing of it remains.
    package func fail(_ operation: OperationID) throws(StoreError) {
        _ = try transaction { connection throws(StoreError) in
            try connection.run("UPDATE intent SET state = 2 WHERE operation = ?", [.blob(operation.bytes)])
        }
    }

    /// Ends a change as done: the version, the key's pointer to it (or the key itself) and the intent's reply, all or nothing.
    package func commit(_ intent: Intent, key: StoredKey, version: StoredVersion, reply: [UInt8]) throws(StoreError) {
        _ = try transaction { connection throws(StoreError) in
            if version.version == Limits.firstVersion {
                try connection.run(
                    "INSERT INTO key (id, name, state, created_ms, version) VALUES (?, ?, ?, ?, ?)",
                    [
                        .blob(key.id.bytes), .text(key.name), .integer(Int64(key.state.rawValue)),
                        .integer(Int64(bitPattern: key.created)), .integer(Int64(key.version)),
                    ])
            } else {
                // Only the direct successor: two rotations can never both think they made the newest version.
                let changed = try connection.run(
                    "UPDATE key SET version = ? WHERE id = ? AND version = ?",
                    [.integer(Int64(key.version)), .blob(key.id.bytes), .integer(Int64(key.version) - 1)])
                guard changed == 1 else { throw .corrupt("key \(key.id) is not at version \(key.version - 1)") }
            }
            try connection.run(
                """
                INSERT INTO key_version (key, version, suite, created_ms, known_answer, known_answer_digest, wraps_reserved)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
                [
                    .blob(version.key.bytes), .integer(Int64(version.version)), .integer(Int64(version.suite.rawValue)),
                    .integer(Int64(bitPattern: version.created)), .blob(version.knownAnswer.ciphertext),
                    .blob(version.knownAnswer.digest), .integer(Int64(bitPattern: version.wrapsReserved)),
                ])
            return try connection.run(
                "UPDATE intent SET state = 1, reply = ? WHERE operation = ?", [.blob(reply), .blob(intent.operation.bytes)])
        }
    }
}
