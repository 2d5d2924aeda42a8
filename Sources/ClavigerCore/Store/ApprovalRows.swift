import ClavigerWire

/// A request for what needs a second person, as stored.
package struct StoredApproval: Equatable, Sendable {
    package var id: ApprovalID
    package var action: ControlledAction
    /// The key; nil for the instance's policies.
    package var key: KeyID?
    /// What is to be carried out beyond the action itself: see `ApprovalPlan`.
    package var body: [UInt8]
    /// Empty when nothing was said.
    package var reason: String
    package var requester: String
    package var requesterUID: UInt32
    /// What that user was called then.
    package var requesterName = PinnedName.unknown
    /// In milliseconds since 1970.
    package var created: UInt64
    package var expires: UInt64
    /// As written last; an open one whose time is over counts as expired before that is written too.
    package var state = ApprovalState.open
    package var approver: String?
    package var approverUID: UInt32?
    package var decided: UInt64?

    /// The state at a moment.
    package func state(at now: UInt64) -> ApprovalState {
        state == .open && expires <= now ? .expired : state
    }
}

extension SQLiteConnection {
    private static let approvalColumns = """
        id, action, key, body, reason, requester, requester_uid, created_ms, expires_ms, state, approver, approver_uid, decided_ms,
        requester_name
        """

    /// The request of this id.
    func approval(_ id: ApprovalID) throws(StoreError) -> StoredApproval? {
        try approvals("id = ?", [.blob(id.bytes)]).first
    }

    /// The requests that are open at a moment.
    func openApprovals(at now: UInt64) throws(StoreError) -> [StoredApproval] {
        try approvals("state = 0 AND expires_ms > ? ORDER BY created_ms, id", [.unsigned(now)])
    }

    /// Requests after a place in the order of creation and id.
    ///
    /// - Parameter now: only those that are open at this moment; nil for all.
    func approvals(
        after place: (created: UInt64, id: ApprovalID)?, openAt now: UInt64?, limit: Int
    ) throws(StoreError) -> [StoredApproval] {
        var conditions = ["true"]
        var values: [SQLValue] = []
        if let now {
            conditions.append("state = 0 AND expires_ms > ?")
            values.append(.unsigned(now))
        }
        if let place {
            conditions.append("(created_ms, id) > (?, ?)")
            values += [.unsigned(place.created), .blob(place.id.bytes)]
        }
        return try approvals(
            "\(conditions.joined(separator: " AND ")) ORDER BY created_ms, id LIMIT ?", values + [.integer(Int64(limit))])
    }

    private func approvals(_ condition: String, _ values: [SQLValue]) throws(StoreError) -> [StoredApproval] {
        var approvals: [StoredApproval] = []
        try run("SELECT \(SQLiteConnection.approvalColumns) FROM approval WHERE \(condition)", values) { row throws(StoreError) in
            var approval = StoredApproval(
                id: try row.identifier(0), action: try row.value(1, "an approval's action"),
                key: row.isNull(2) ? nil : try row.identifier(2), body: row.blob(3), reason: row.text(4), requester: row.text(5),
                requesterUID: row.number(6), created: row.unsigned(7), expires: row.unsigned(8))
            approval.state = try row.value(9, "an approval's state")
            approval.approver = row.isNull(10) ? nil : row.text(10)
            approval.approverUID = row.isNull(11) ? nil : row.number(11)
            approval.decided = row.moment(12)
            approval.requesterName = PinnedName(stored: row.isNull(13) ? nil : row.text(13))
            approvals.append(approval)
        }
        return approvals
    }

    /// Writes a request over what was stored of it.
    func write(_ approval: StoredApproval) throws(StoreError) {
        try run(
            """
            INSERT OR REPLACE INTO approval (\(SQLiteConnection.approvalColumns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                .blob(approval.id.bytes), .integer(Int64(approval.action.rawValue)),
                approval.key.map { .blob($0.bytes) } ?? .null,
                .blob(approval.body), .text(approval.reason), .text(approval.requester),
                .integer(Int64(approval.requesterUID)), .unsigned(approval.created), .unsigned(approval.expires),
                .integer(Int64(approval.state.rawValue)), .optional(approval.approver),
                approval.approverUID.map { .integer(Int64($0)) } ?? .null, .moment(approval.decided),
                .optional(approval.requesterName.stored),
            ])
    }
}
