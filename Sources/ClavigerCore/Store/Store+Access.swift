import ClavigerWire

extension Store {
    /// All grants that were not revoked.
    package func grants() throws(StoreError) -> [Grant] {
        try withConnection { connection throws(StoreError) in try Store.grants(connection, "revoked_ms IS NULL", []).map(\.grant)
        }
    }

    /// A grant as stored.
    struct StoredGrant {
        var grant: Grant
        var creator: UInt32
        var revoked: UInt64?
        var revoker: UInt32?
        var revokeOperation: [UInt8]?
    }

    /// The grant of this id, revoked or not.
    func grant(_ id: GrantID) throws(StoreError) -> StoredGrant? {
        try withConnection { connection throws(StoreError) in try Store.grants(connection, "id = ?", [.blob(id.bytes)]).first }
    }

    private static func grants(
        _ connection: SQLiteConnection, _ condition: String, _ values: [SQLValue]
    ) throws(StoreError) -> [StoredGrant] {
        var grants: [StoredGrant] = []
        try connection.run(
            """
            SELECT id, user_number, user_name, group_number, group_name, unit, role, scope, ring, key, expires_ms, condition,
            created_ms, created_by, created_uid, revoked_ms, revoked_uid, revoke_operation FROM access_grant WHERE \(condition)
            ORDER BY created_ms, id
            """, values
        ) { row throws(StoreError) in
            let subject = Subject(
                user: account(row, 1), group: account(row, 3), unit: row.isNull(5) ? nil : row.text(5))
            guard let subject else { throw .corrupt("a grant has no subject") }
            let scope: Scope
            switch row.integer(7) {
            case 0: scope = .instance
            case 1: scope = .ring(row.text(8))
            case 2: scope = .key(try row.identifier(9))
            default: throw .corrupt("a grant has scope \(row.integer(7))")
            }
            grants.append(
                StoredGrant(
                    grant: Grant(
                        id: try row.identifier(0), subject: subject, role: row.text(6), scope: scope,
                        expires: row.isNull(10) ? nil : UInt64(bitPattern: row.integer(10)), condition: row.blob(11),
                        created: UInt64(bitPattern: row.integer(12)), createdBy: row.text(13)),
                    creator: UInt32(truncatingIfNeeded: row.integer(14)),
                    revoked: row.isNull(15) ? nil : UInt64(bitPattern: row.integer(15)),
                    revoker: row.isNull(16) ? nil : UInt32(truncatingIfNeeded: row.integer(16)),
                    revokeOperation: row.isNull(17) ? nil : row.blob(17)))
        }
        return grants
    }

    /// The grants on a ring that were not revoked.
    static func grants(ofRing ring: String, _ connection: SQLiteConnection) throws(StoreError) -> [Grant] {
        try grants(connection, "scope = 1 AND ring = ? AND revoked_ms IS NULL", [.text(ring)]).map(\.grant)
    }

    /// Marks the grants on a ring as revoked.
    static func revokeGrants(
        ofRing ring: String, by uid: UInt32, _ operation: OperationID, at now: UInt64, _ connection: SQLiteConnection
    ) throws(StoreError) {
        try connection.run(
            """
            UPDATE access_grant SET revoked_ms = ?, revoked_uid = ?, revoke_operation = ?
            WHERE scope = 1 AND ring = ? AND revoked_ms IS NULL
            """, [.unsigned(now), .integer(Int64(uid)), .blob(operation.bytes), .text(ring)])
    }

    private static func account(_ row: borrowing SQLiteRow, _ column: Int32) -> Subject.Account? {
        if row.isNull(column) { return nil }
        let name = row.isNull(column + 1) ? nil : row.text(column + 1)
        return Subject.Account(number: UInt32(truncatingIfNeeded: row.integer(column)), name: name)
    }

    /// Writes a grant.
    func insertGrant(_ grant: Grant, creator: UInt32, forgetBefore horizon: UInt64, note: ChangeNote) throws(StoreError) {
        try change(note) { connection throws(StoreError) in
            try connection.run("DELETE FROM access_grant WHERE revoked_ms < ?", [.integer(Int64(bitPattern: horizon))])
            try Store.insert(grant, creator: creator, connection)
        }
    }

    private static func insert(_ grant: Grant, creator: UInt32, _ connection: SQLiteConnection) throws(StoreError) {
        let subject = grant.subject
        let (scope, ring, key): (Int64, SQLValue, SQLValue) =
            switch grant.scope {
            case .instance: (0, .null, .null)
            case .ring(let name): (1, .text(name), .null)
            case .key(let id): (2, .null, .blob(id.bytes))
            }
        try connection.run(
            """
            INSERT INTO access_grant (id, user_number, user_name, group_number, group_name, unit, role, scope, ring, key, expires_ms,
            condition, created_ms, created_by, created_uid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                .blob(grant.id.bytes), number(subject.user), name(subject.user), number(subject.group), name(subject.group),
                subject.unit.map { .text($0) } ?? .null, .text(grant.role), .integer(scope), ring, key,
                grant.expires.map { .integer(Int64(bitPattern: $0)) } ?? .null, .blob(grant.condition),
                .integer(Int64(bitPattern: grant.created)), .text(grant.createdBy), .integer(Int64(creator)),
            ])
    }

    private static func number(_ account: Subject.Account?) -> SQLValue { account.map { .integer(Int64($0.number)) } ?? .null }

    private static func name(_ account: Subject.Account?) -> SQLValue { account?.name.map { .text($0) } ?? .null }

    /// Marks a grant as revoked; false when it was already, or is not there.
    func revokeGrant(
        _ id: GrantID, by uid: UInt32, operation: OperationID, now: UInt64, note: ChangeNote
    ) throws(StoreError) -> Bool {
        try change(note) { connection throws(StoreError) in
            try connection.run(
                "UPDATE access_grant SET revoked_ms = ?, revoked_uid = ?, revoke_operation = ? WHERE id = ? AND revoked_ms IS NULL",
                [.integer(Int64(bitPattern: now)), .integer(Int64(uid)), .blob(operation.bytes), .blob(id.bytes)]) == 1
        }
    }

    /// Makes the first grants, once in an instance's life: everything that can be granted, for each of these users.
    ///
    /// - Returns: whether they were made now.
    @discardableResult
    package func makeFirstGrants(to users: [Subject.Account], now: UInt64) throws(StoreError) -> Bool {
        // Nothing is made at a later start, so nothing is recorded.
        guard try !withConnection({ connection throws(StoreError) in try Store.isAccessBegun(connection) }) else { return false }
        return try change(ChangeNote(event: "access-begin", caller: nil)) { connection throws(StoreError) in
            guard try !Store.isAccessBegun(connection) else { return false }
            try connection.run("INSERT INTO access_begun (one, begun_ms) VALUES (1, ?)", [.integer(Int64(bitPattern: now))])
            for user in users {
                guard let subject = Subject(user: user) else { continue }
                for role in Role.all {
                    try Store.insert(
                        Grant(
                            id: RandomSource.identifier(), subject: subject, role: role, scope: .instance, created: now,
                            createdBy: "token init"),
                        creator: 0, connection)
                }
            }
            return true
        }
    }

    private static func isAccessBegun(_ connection: SQLiteConnection) throws(StoreError) -> Bool {
        var isBegun = false
        try connection.run("SELECT 1 FROM access_begun") { _ throws(StoreError) in isBegun = true }
        return isBegun
    }

    // MARK: roles

    /// A custom role as stored.
    struct StoredRole {
        var role: Role
        var creator: UInt32
        var operation: [UInt8]
    }

    /// The roles that admins made.
    package func customRoles() throws(StoreError) -> [Role] { try storedRoles().map(\.role) }

    func storedRoles() throws(StoreError) -> [StoredRole] {
        try withConnection { connection throws(StoreError) in
            var roles: [StoredRole] = []
            try connection.run("SELECT name, summary, permissions, created_uid, operation FROM access_role ORDER BY name") {
                row throws(StoreError) in
                var permissions: PermissionSet = []
                for word in row.text(2).split(separator: " ") {
                    guard let permission = Permission(rawValue: String(word)) else {
                        throw .corrupt("role '\(row.text(0))' holds the unknown permission '\(word)'")
                    }
                    permissions.formUnion(PermissionSet(permission))
                }
                roles.append(
                    StoredRole(
                        role: Role(name: row.text(0), summary: row.text(1), permissions: permissions),
                        creator: UInt32(truncatingIfNeeded: row.integer(3)), operation: row.blob(4)))
            }
            return roles
        }
    }

    func insertRole(
        _ role: Role, by caller: Caller, operation: OperationID, now: UInt64, note: ChangeNote
    ) throws(StoreError) {
        try change(note) { connection throws(StoreError) in
            _ = try connection.run(
                """
                INSERT INTO access_role (name, summary, permissions, created_ms, created_by, created_uid, operation)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
                [
                    .text(role.name), .text(role.summary),
                    .text(role.permissions.permissions.map(\.rawValue).joined(separator: " ")),
                    .integer(Int64(bitPattern: now)), .text(caller.label), .integer(Int64(caller.uid)), .blob(operation.bytes),
                ])
        }
    }

    /// Removes a custom role; false when there is none of that name.
    func deleteRole(_ name: String, note: ChangeNote) throws(StoreError) -> Bool {
        try change(note) { connection throws(StoreError) in
            try connection.run("DELETE FROM access_role WHERE name = ?", [.text(name)]) == 1
        }
    }
}
