import ClavigerWire

// Rows of keys and versions: what of a key stands in which column.
extension SQLValue {
    /// A number without a sign; what exceeds Int64 comes back the same.
    static func unsigned(_ number: UInt64) -> SQLValue { .integer(Int64(bitPattern: number)) }
    /// A moment in milliseconds since 1970, or none.
    static func moment(_ moment: UInt64?) -> SQLValue { moment.map { unsigned($0) } ?? .null }
    /// A flag.
    static func flag(_ flag: Bool) -> SQLValue { .integer(flag ? 1 : 0) }
    /// A text, or none.
    static func optional(_ text: String?) -> SQLValue { text.map { .text($0) } ?? .null }
}

extension SQLiteRow {
    func unsigned(_ column: Int32) -> UInt64 { UInt64(bitPattern: integer(column)) }
    func moment(_ column: Int32) -> UInt64? { isNull(column) ? nil : unsigned(column) }
    func flag(_ column: Int32) -> Bool { integer(column) != 0 }
    func number(_ column: Int32) -> UInt32 { UInt32(truncatingIfNeeded: integer(column)) }

    func value<Value: RawRepresentable<UInt8>>(_ column: Int32, _ what: String) throws(StoreError) -> Value {
        guard let value = Value(rawValue: UInt8(truncatingIfNeeded: integer(column))) else {
            throw .corrupt("\(what) is \(integer(column))")
        }
        return value
    }
}

extension SQLiteConnection {
    private static let keyColumns = """
        id, name, state, created_ms, version, kind, origin, description, ring, created_by, updated_ms, revision, rotated_ms,
        expires_ms, suspended_ms, deleted_ms, deleted_by, state_before, wiped, rotation_months, rotation_enabled, dual_control,
        restorable_until_ms, purgeable_from_ms, purged_from_ms
        """

    /// All keys, with tags and aliases.
    func keys() throws(StoreError) -> [StoredKey] {
        var keys: [StoredKey] = []
        try run("SELECT \(SQLiteConnection.keyColumns) FROM key") { row throws(StoreError) in
            keys.append(try SQLiteConnection.key(row))
        }
        var places = Dictionary(uniqueKeysWithValues: keys.indices.map { (keys[$0].id, $0) })
        try run("SELECT key, tag FROM key_tag ORDER BY key, place") { row throws(StoreError) in
            if let place = places[try row.identifier(0)] { keys[place].tags.append(row.text(1)) }
        }
        try run("SELECT key, alias FROM alias ORDER BY alias") { row throws(StoreError) in
            if let place = places[try row.identifier(0)] { keys[place].aliases.append(row.text(1)) }
        }
        places = [:]
        return keys
    }

    /// The key of this id, with tags and aliases.
    func key(_ id: KeyID) throws(StoreError) -> StoredKey? {
        var key: StoredKey?
        try run("SELECT \(SQLiteConnection.keyColumns) FROM key WHERE id = ?", [.blob(id.bytes)]) { row throws(StoreError) in
            key = try SQLiteConnection.key(row)
        }
        try run("SELECT tag FROM key_tag WHERE key = ? ORDER BY place", [.blob(id.bytes)]) { row throws(StoreError) in
            key?.tags.append(row.text(0))
        }
        try run("SELECT alias FROM alias WHERE key = ? ORDER BY alias", [.blob(id.bytes)]) { row throws(StoreError) in
            key?.aliases.append(row.text(0))
        }
        return key
    }

    private static func key(_ row: SQLiteRow) throws(StoreError) -> StoredKey {
        var key = StoredKey(
            id: try row.identifier(0), name: row.text(1), state: try row.value(2, "a key's state"), created: row.unsigned(3),
            version: row.number(4))
        key.kind = try row.value(5, "a key's kind")
        key.isImported = row.flag(6)
        key.description = row.text(7)
        key.ring = row.text(8)
        key.createdBy = row.text(9)
        // Keys of before there was such a column have changed with their creation last.
        key.updated = max(row.unsigned(10), key.created)
        key.revision = row.unsigned(11)
        key.rotated = row.moment(12)
        key.expires = row.moment(13)
        key.suspended = row.moment(14)
        key.deleted = row.moment(15)
        key.deletedBy = row.isNull(16) ? nil : row.text(16)
        key.stateBefore = row.isNull(17) ? nil : try row.value(17, "a key's state before its deletion")
        key.isWiped = row.flag(18)
        key.rotationMonths = row.number(19)
        key.isRotationEnabled = row.flag(20)
        key.dualControl = DualControl(rawValue: row.number(21))
        key.restorableUntil = row.moment(22)
        key.purgeableFrom = row.moment(23)
        key.purgedFrom = row.moment(24)
        return key
    }

    private static func values(_ key: StoredKey) -> [SQLValue] {
        [
            .text(key.name), .integer(Int64(key.state.rawValue)), .unsigned(key.created), .integer(Int64(key.version)),
            .integer(Int64(key.kind.rawValue)), .flag(key.isImported), .text(key.description), .text(key.ring),
            .text(key.createdBy), .unsigned(key.updated), .unsigned(key.revision), .moment(key.rotated), .moment(key.expires),
            .moment(key.suspended), .moment(key.deleted), .optional(key.deletedBy),
            key.stateBefore.map { .integer(Int64($0.rawValue)) } ?? .null, .flag(key.isWiped),
            .integer(Int64(key.rotationMonths)), .flag(key.isRotationEnabled), .integer(Int64(key.dualControl.rawValue)),
            .moment(key.restorableUntil), .moment(key.purgeableFrom), .moment(key.purgedFrom), .blob(key.id.bytes),
        ]
    }

    /// Writes a new key with its tags and aliases, which must be free.
    func insert(_ key: StoredKey) throws(StoreError) {
        try run(
            """
            INSERT INTO key (name, state, created_ms, version, kind, origin, description, ring, created_by, updated_ms, revision,
                rotated_ms, expires_ms, suspended_ms, deleted_ms, deleted_by, state_before, wiped, rotation_months,
                rotation_enabled, dual_control, restorable_until_ms, purgeable_from_ms, purged_from_ms, id)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """, SQLiteConnection.values(key))
        try insertTags(key)
        for alias in key.aliases { try insert(alias: alias, of: key.id, at: key.created, by: key.createdBy) }
    }

    /// Writes a changed key and its tags. Its aliases have rows of their own and are written by themselves.
    ///
    /// - Parameter before: what the change was made of; another revision in the database is an error, since keys change one at a time.
    func update(_ key: StoredKey, from before: StoredKey) throws(StoreError) {
        let changed = try run(
            """
            UPDATE key SET name = ?, state = ?, created_ms = ?, version = ?, kind = ?, origin = ?, description = ?, ring = ?,
                created_by = ?, updated_ms = ?, revision = ?, rotated_ms = ?, expires_ms = ?, suspended_ms = ?, deleted_ms = ?,
                deleted_by = ?, state_before = ?, wiped = ?, rotation_months = ?, rotation_enabled = ?, dual_control = ?,
                restorable_until_ms = ?, purgeable_from_ms = ?, purged_from_ms = ?
            WHERE id = ? AND revision = ?
            """, SQLiteConnection.values(key) + [.unsigned(before.revision)])
        guard changed == 1 else { throw .corrupt("key \(key.id) is not at revision \(before.revision)") }
        guard key.tags != before.tags else { return }
        try run("DELETE FROM key_tag WHERE key = ?", [.blob(key.id.bytes)])
        try insertTags(key)
    }

    private func insertTags(_ key: StoredKey) throws(StoreError) {
        for (place, tag) in key.tags.enumerated() {
            try run(
                "INSERT INTO key_tag (key, place, tag) VALUES (?, ?, ?)",
                [.blob(key.id.bytes), .integer(Int64(place)), .text(tag)])
        }
    }

    /// Writes a new alias, which must be free.
    func insert(alias: String, of key: KeyID, at now: UInt64, by subject: String) throws(StoreError) {
        try run(
            "INSERT INTO alias (alias, key, created_ms, created_by) VALUES (?, ?, ?, ?)",
            [.text(alias), .blob(key.bytes), .unsigned(now), .text(subject)])
    }

    /// Removes an alias.
    func delete(alias: String) throws(StoreError) {
        try run("DELETE FROM alias WHERE alias = ?", [.text(alias)])
    }
}
