import ClavigerWire

/// The kind of `GrantID`.
package enum GrantKind {}
/// A grant's identifier: the id of the operation that made it.
package typealias GrantID = Identifier<GrantKind>

/// A subject has a role in a scope, perhaps until a moment, perhaps only for envelopes whose context begins in a certain way.
package struct Grant: Hashable, Sendable {
    package let id: GrantID
    package let subject: Subject
    /// The role's name.
    package let role: String
    package let scope: Scope
    /// In milliseconds since 1970, exclusive; nil for ever.
    package let expires: UInt64?
    /// The strings that a context must begin with, encoded as contexts are; empty for none. Such a grant gives only what has a context:
    /// wrap, unwrap and rewrap.
    package let condition: [UInt8]
    /// In milliseconds since 1970.
    package let created: UInt64
    /// Who made it, for people.
    package let createdBy: String

    package init(
        id: GrantID, subject: Subject, role: String, scope: Scope, expires: UInt64? = nil, condition: [UInt8] = [],
        created: UInt64, createdBy: String
    ) {
        self.id = id
        self.subject = subject
        self.role = role
        self.scope = scope
        self.expires = expires
        self.condition = condition
        self.created = created
        self.createdBy = createdBy
    }

    /// Whether the grant has ended by `now`.
    package func hasExpired(at now: UInt64) -> Bool { expires.map { $0 <= now } ?? false }
}

/// A context as a condition sees it.
package enum ContextCondition {
    /// Whether the encoded context begins with all strings of the encoded condition, byte for byte.
    ///
    /// Both are checked encodings: u32 count, then for each string u32 length and bytes. Strings are compared whole: a condition
    /// `tenant=7` does not admit `tenant=70`.
    package static func holds(_ condition: [UInt8], for context: [UInt8]) -> Bool {
        guard condition.count >= 4 else { return true }
        guard context.count >= condition.count, word(context) >= word(condition) else { return false }
        return context[4..<condition.count] == condition[4...]
    }

    private static func word(_ bytes: [UInt8]) -> Int { bytes.prefix(4).reduce(0) { $0 << 8 | Int($1) } }
}
