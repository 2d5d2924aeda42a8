import ClavigerClient

/// A request for what needs a second person, as it is printed.
struct ApprovalDocument: Encodable {
    static let fields = """
        id, action, force, key, name, changes (of policies), reason, state, requester, requesterUID, created, expires, approver, \
        approverUID, decided
        """

    var id: String
    var action: String
    var force: Bool
    var key: String?
    var name: String?
    var changes: [String: String]?
    var reason: String
    var state: String
    var requester: String
    var requesterUID: UInt32
    var created: String
    var expires: String
    var approver: String?
    var approverUID: UInt32?
    var decided: String?

    init(_ record: ApprovalRecord) {
        id = record.id.description
        action = record.action.name
        force = record.force
        key = record.key?.description
        name = record.keyName
        changes = ApprovalDocument.changes(record).map { Dictionary($0, uniquingKeysWith: { first, _ in first }) }
        reason = record.reason
        state = record.state.name
        requester = record.requester
        requesterUID = record.requesterUID
        created = Text.time(record.created)
        expires = Text.time(record.expires)
        approver = record.approver
        approverUID = record.approverUID
        decided = record.decided.map(Text.time)
    }

    /// For people: one block of lines a request, since whoever approves must see all of it.
    static func text(_ records: [ApprovalRecord]) -> String {
        records.map(block).joined(separator: "\n\n")
    }

    private static func block(_ record: ApprovalRecord) -> String {
        let key = record.key.map { id in record.keyName.map { "\($0) (\(id))" } ?? id.description }
        var pairs = [
            ("id", record.id.description), ("action", record.action.name + (record.force ? ", by force" : "")),
            ("on", key.map { "key \($0)" } ?? "the instance"),
        ]
        for (name, value) in changes(record) ?? [] { pairs.append(("  \(name)", value)) }
        if !record.reason.isEmpty { pairs.append(("reason", record.reason)) }
        pairs += [("asked for by", "\(record.requester), \(Text.time(record.created))"), ("state", record.state.name)]
        if record.state == .open { pairs.append(("expires", Text.time(record.expires))) }
        if let decided = record.decided {
            pairs.append(("decided", Text.time(decided) + (record.approver.map { " by \($0)" } ?? "")))
        }
        return Table.pairs(pairs)
    }

    /// The policies that would change; nil for other actions.
    private static func changes(_ record: ApprovalRecord) -> [(String, String)]? {
        guard let body = record.body else { return nil }
        guard let request = try? PolicySetRequest.decode(body.span.bytes) else { return [("changes", "cannot be read")] }
        return PolicyDocument.lines(request.values)
    }
}
