import ClavigerWire

// Rows of key versions.
extension SQLiteConnection {
    /// All versions of all keys, by key and ascending version.
    func versions() throws(StoreError) -> [StoredVersion] {
        var versions: [StoredVersion] = []
        try run(
            """
            SELECT key, version, suite, created_ms, known_answer, known_answer_digest, wraps_reserved, state, bits, origin, reason,
                retired_ms
            FROM key_version ORDER BY key, version
            """
        ) { row throws(StoreError) in
            var version = StoredVersion(
                key: try row.identifier(0), version: row.number(1), suite: try row.value(2, "a key version's suite"),
                created: row.unsigned(3), knownAnswer: KnownAnswer(ciphertext: row.blob(4), digest: row.blob(5)),
                wrapsReserved: row.unsigned(6))
            version.state = try row.value(7, "a key version's state")
            version.bits = row.number(8)
            version.isImported = row.flag(9)
            version.reason = row.text(10)
            version.retired = row.moment(11)
            versions.append(version)
        }
        return versions
    }

    /// Writes a new version.
    ///
    /// - Parameter sealed: a standard key's secret, sealed; nil for root keys.
    func insert(_ version: StoredVersion, sealed: [UInt8]? = nil) throws(StoreError) {
        try run(
            """
            INSERT INTO key_version (key, version, suite, created_ms, known_answer, known_answer_digest, wraps_reserved, state, bits,
                origin, reason, retired_ms, sealed)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                .blob(version.key.bytes), .integer(Int64(version.version)), .integer(Int64(version.suite.rawValue)),
                .unsigned(version.created), .blob(version.knownAnswer.ciphertext), .blob(version.knownAnswer.digest),
                .unsigned(version.wrapsReserved), .integer(Int64(version.state.rawValue)), .integer(Int64(version.bits)),
                .flag(version.isImported), .text(version.reason), .moment(version.retired),
                sealed.map { .blob($0) } ?? .null,
            ])
    }

    /// A standard key's secret, sealed; nil when there is none.
    func sealed(_ key: KeyID, _ version: UInt32) throws(StoreError) -> [UInt8]? {
        var sealed: [UInt8]?
        try run(
            "SELECT sealed FROM key_version WHERE key = ? AND version = ? AND sealed IS NOT NULL",
            [.blob(key.bytes), .integer(Int64(version))]
        ) { row throws(StoreError) in sealed = row.blob(0) }
        return sealed
    }

    /// Writes a version's state; the sealed secret of a destroyed one is removed.
    func update(_ version: StoredVersion) throws(StoreError) {
        let changed = try run(
            """
            UPDATE key_version SET state = ?1, retired_ms = ?2, sealed = CASE ?1 WHEN 2 THEN NULL ELSE sealed END
            WHERE key = ?3 AND version = ?4
            """,
            [
                .integer(Int64(version.state.rawValue)), .moment(version.retired), .blob(version.key.bytes),
                .integer(Int64(version.version)),
            ])
        guard changed == 1 else { throw .corrupt("version \(version.version) of key \(version.key) has no row") }
    }
}
