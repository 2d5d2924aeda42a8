import ClavigerWire

/// A registration as stored: a resource that a key protects.
package struct StoredRegistration: Equatable, Sendable {
    package var key: KeyID
    package var resource: String
    package var description = ""
    /// Whether it forbids deleting the key.
    package var isRetained = false
    /// When it ends by itself, in milliseconds since 1970; nil: when it is released.
    package var leaseEnds: UInt64?
    /// The key version that the resource was last protected with.
    package var version: UInt32
    package var created: UInt64
    package var createdBy: String
    /// The user that may change and release it.
    package var owner: UInt32
    /// What that user was called then.
    package var ownerName = PinnedName.unknown
    package var updated: UInt64
    package var revision: UInt64 = 1

    /// Whether it still holds: a lease ends at its moment, not when the row is removed.
    package func holds(at now: UInt64) -> Bool { leaseEnds.map { now < $0 } ?? true }

    /// As shown to callers.
    package var record: RegistrationRecord {
        var record = RegistrationRecord(
            key: key, resource: resource, retention: isRetained, version: version, created: created, createdBy: createdBy,
            ownerUID: owner, updated: updated, revision: revision)
        record.description = description.isEmpty ? nil : description
        record.leaseEnds = leaseEnds
        return record
    }
}

extension SQLiteConnection {
    private static let registrationColumns = """
        key, resource, description, retention, lease_ends_ms, version, created_ms, created_by, owner_uid, updated_ms, revision,
        owner_name
        """

    /// The registration of a resource with a key, ended or not.
    func registration(_ key: KeyID, _ resource: String) throws(StoreError) -> StoredRegistration? {
        try registrations("key = ? AND resource = ?", [.blob(key.bytes), .text(resource)]).first
    }

    /// Registrations after a place in the order of key and resource, ended or not.
    ///
    /// - Parameter key: the one key of which they are; nil for all.
    func registrations(
        of key: KeyID?, after place: (key: KeyID, resource: String)?, limit: Int
    ) throws(StoreError) -> [StoredRegistration] {
        var conditions: [String] = []
        var values: [SQLValue] = []
        if let key {
            conditions.append("key = ?")
            values.append(.blob(key.bytes))
        }
        if let place {
            conditions.append("(key, resource) > (?, ?)")
            values += [.blob(place.key.bytes), .text(place.resource)]
        }
        let condition = conditions.isEmpty ? "true" : conditions.joined(separator: " AND ")
        return try registrations("\(condition) ORDER BY key, resource LIMIT ?", values + [.integer(Int64(limit))])
    }

    private func registrations(_ condition: String, _ values: [SQLValue]) throws(StoreError) -> [StoredRegistration] {
        var registrations: [StoredRegistration] = []
        try run("SELECT \(SQLiteConnection.registrationColumns) FROM registration WHERE \(condition)", values) {
            row throws(StoreError) in
            registrations.append(
                StoredRegistration(
                    key: try row.identifier(0), resource: row.text(1), description: row.text(2), isRetained: row.flag(3),
                    leaseEnds: row.moment(4), version: row.number(5), created: row.unsigned(6), createdBy: row.text(7),
                    owner: row.number(8), ownerName: PinnedName(stored: row.isNull(11) ? nil : row.text(11)),
                    updated: row.unsigned(9), revision: row.unsigned(10)))
        }
        return registrations
    }

    /// How many registrations a key has that hold, and how many of these forbid its deletion.
    ///
    /// - Parameter version: counts only resources that were last protected with this version; nil for all.
    func registrationCounts(
        _ key: KeyID, version: UInt32? = nil, at now: UInt64
    ) throws(StoreError) -> (all: UInt32, retained: UInt32) {
        var counts: (all: UInt32, retained: UInt32) = (0, 0)
        try run(
            """
            SELECT count(*), coalesce(sum(retention), 0) FROM registration
            WHERE key = ?1 AND (lease_ends_ms IS NULL OR lease_ends_ms > ?2) AND (?3 IS NULL OR version = ?3)
            """, [.blob(key.bytes), .unsigned(now), version.map { .integer(Int64($0)) } ?? .null]
        ) { row throws(StoreError) in counts = (UInt32(clamping: row.integer(0)), UInt32(clamping: row.integer(1))) }
        return counts
    }

    /// Writes a registration over an earlier one of its resource.
    func write(_ registration: StoredRegistration) throws(StoreError) {
        try run(
            """
            INSERT OR REPLACE INTO registration (\(SQLiteConnection.registrationColumns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                .blob(registration.key.bytes), .text(registration.resource), .text(registration.description),
                .flag(registration.isRetained), .moment(registration.leaseEnds), .integer(Int64(registration.version)),
                .unsigned(registration.created), .text(registration.createdBy), .integer(Int64(registration.owner)),
                .unsigned(registration.updated), .unsigned(registration.revision),
                .optional(registration.ownerName.stored),
            ])
    }

    /// Removes a registration.
    func deleteRegistration(_ key: KeyID, _ resource: String) throws(StoreError) {
        try run("DELETE FROM registration WHERE key = ? AND resource = ?", [.blob(key.bytes), .text(resource)])
    }
}
