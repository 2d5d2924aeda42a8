import ClavigerClient

/// A grant as JSON and as text.
struct GrantDocument: Encodable {
    var id: String
    var subject: String
    var uid: UInt32?
    var gid: UInt32?
    var role: String
    var scope: String
    var created: String
    var createdBy: String
    var expires: String?
    var context: [String]?
    var trouble: String?

    init(_ grant: GrantRecord) {
        id = grant.id.description
        subject = grant.subject
        uid = grant.uid
        gid = grant.gid
        role = grant.role
        scope = grant.scope
        created = Text.time(grant.created)
        createdBy = grant.createdBy
        expires = grant.expires.map(Text.time)
        context = grant.context == nil ? nil : grant.contextStrings
        trouble = grant.trouble
    }

    /// The grant, a line each.
    static func text(_ grant: GrantRecord) -> String {
        var pairs = [("grant", grant.id.description), ("subject", grant.subject)]
        if let uid = grant.uid { pairs.append(("uid", String(uid))) }
        if let gid = grant.gid { pairs.append(("gid", String(gid))) }
        pairs += [("role", grant.role), ("scope", grant.scope)]
        if let expires = grant.expires { pairs.append(("until", Text.time(expires))) }
        if !grant.contextStrings.isEmpty { pairs.append(("context", grant.contextStrings.joined(separator: " "))) }
        if let trouble = grant.trouble { pairs.append(("trouble", trouble)) }
        return Table.pairs(pairs)
    }
}

extension GrantRecord {
    /// The strings of its condition; empty for none.
    var contextStrings: [String] {
        guard let context, context.count >= 4 else { return [] }
        var strings: [String] = []
        var position = 4
        while context.count - position >= 4 {
            let length = context[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
            position += 4
            guard length <= context.count - position else { break }
            strings.append(String(decoding: context[position..<position + length], as: UTF8.self))
            position += length
        }
        return strings
    }
}
