import ClavigerWire

extension Store {
    /// The instance, nil before `token init` has begun.
    package func instance() throws(StoreError) -> InstanceRecord? {
        try withConnection { connection throws(StoreError) in
            var record: InstanceRecord?
            try connection.run(
                "SELECT id, created_ms, token_label, token_manufacturer, token_model, token_serial, complete FROM instance"
            ) { row throws(StoreError) in
                record = InstanceRecord(
                    id: try row.identifier(0), created: UInt64(bitPattern: row.integer(1)), tokenLabel: row.text(2),
                    tokenManufacturer: row.text(3), tokenModel: row.text(4), tokenSerial: row.text(5),
                    isComplete: row.integer(6) == 1)
            }
            return record
        }
    }

    /// Writes the instance for the first time.
    package func insertInstance(_ record: InstanceRecord) throws(StoreError) {
        _ = try transaction { connection throws(StoreError) in
            try connection.run(
                """
                INSERT INTO instance (one, id, created_ms, token_label, token_manufacturer, token_model, token_serial, complete)
                VALUES (1, ?, ?, ?, ?, ?, ?, ?)
                """,
                [
                    .blob(record.id.bytes), .integer(Int64(bitPattern: record.created)), .text(record.tokenLabel),
                    .text(record.tokenManufacturer), .text(record.tokenModel), .text(record.tokenSerial),
                    .integer(record.isComplete ? 1 : 0),
                ])
        }
    }

    /// Marks the instance as whole.
    package func completeInstance() throws(StoreError) {
        _ = try transaction { connection throws(StoreError) in try connection.run("UPDATE instance SET complete = 1") }
    }

    /// The instance's own keys.
    package func instanceKeys() throws(StoreError) -> [InstanceKeyRecord] {
        // Needed to verify the database, so whoever has changed it: they are believed by their known answers.
        try alone { connection throws(StoreError) in
            var records: [InstanceKeyRecord] = []
            try connection.run(
                """
                SELECT role, version, created_ms, known_answer, known_answer_digest, suite, wraps_reserved
                FROM instance_key ORDER BY role, version
                """
            ) { row throws(StoreError) in
                guard let role = KeyRole(rawValue: UInt8(truncatingIfNeeded: row.integer(0))) else {
                    throw .corrupt("an instance key has role \(row.integer(0))")
                }
                guard let suite = Suite(rawValue: UInt8(truncatingIfNeeded: row.integer(5))) else {
                    throw .corrupt("an instance key has suite \(row.integer(5))")
                }
                var record = InstanceKeyRecord(
                    role: role, version: UInt32(truncatingIfNeeded: row.integer(1)), suite: suite,
                    created: UInt64(bitPattern: row.integer(2)),
                    knownAnswer: KnownAnswer(ciphertext: row.blob(3), digest: row.blob(4)))
                record.wrapsReserved = row.unsigned(6)
                records.append(record)
            }
            return records
        }
    }

    /// Writes one of the instance's own keys.
    package func insertInstanceKey(_ record: InstanceKeyRecord) throws(StoreError) {
        _ = try transaction { connection throws(StoreError) in
            try connection.run(
                """
                INSERT INTO instance_key (role, version, created_ms, known_answer, known_answer_digest, suite)
                VALUES (?, ?, ?, ?, ?, ?)
                """,
                [
                    .integer(Int64(record.role.rawValue)), .integer(Int64(record.version)),
                    .integer(Int64(bitPattern: record.created)),
                    .blob(record.knownAnswer.ciphertext), .blob(record.knownAnswer.digest),
                    .integer(Int64(record.suite.rawValue)),
                ])
        }
    }

    /// Raises the reserved number of encryptions of one of the instance's keys; never lowers it.
    func reserveWraps(_ role: KeyRole, _ version: UInt32, upTo reserved: UInt64) throws(StoreError) {
        let changed = try transaction { connection throws(StoreError) in
            try connection.run(
                "UPDATE instance_key SET wraps_reserved = max(wraps_reserved, ?) WHERE role = ? AND version = ?",
                [.unsigned(reserved), .integer(Int64(role.rawValue)), .integer(Int64(version))])
        }
        guard changed == 1 else { throw .corrupt("version \(version) of the instance's key '\(role.name)' has no row") }
    }

    /// The objects found on the token that have no record.
    package func quarantined() throws(StoreError) -> [QuarantineRecord] {
        try withConnection { connection throws(StoreError) in
            var records: [QuarantineRecord] = []
            try connection.run("SELECT cka_id, label, reason FROM quarantine ORDER BY first_seen_ms") {
                row throws(StoreError) in
                records.append(QuarantineRecord(objectID: row.blob(0), label: row.text(1), reason: row.text(2)))
            }
            return records
        }
    }

    /// Makes `records` the quarantine: what was seen before keeps the time it was first seen, what is gone is forgotten.
    package func setQuarantine(_ records: [QuarantineRecord], now: UInt64) throws(StoreError) {
        let known = try quarantined()
        guard Set(known) != Set(records) else { return }
        _ = try transaction { connection throws(StoreError) in
            for record in known where !records.contains(record) {
                try connection.run(
                    "DELETE FROM quarantine WHERE cka_id = ? AND label = ?", [.blob(record.objectID), .text(record.label)])
            }
            for record in records {
                try connection.run(
                    "INSERT OR IGNORE INTO quarantine (cka_id, label, first_seen_ms, reason) VALUES (?, ?, ?, ?)",
                    [.blob(record.objectID), .text(record.label), .integer(Int64(bitPattern: now)), .text(record.reason)])
            }
            return 0
        }
    }
}
