/// One role, as shown to admins; the reply to role-create.
public struct RoleRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.role }
    /// The role's name.
    public var name: String
    /// What it is for.
    public var summary: String
    /// Whether it comes with the daemon.
    public var isBuiltIn: Bool
    /// The names of what it allows: a newer daemon may know more than `Permission`.
    public var permissions: [String]

    /// A record of these values.
    public init(name: String, summary: String, isBuiltIn: Bool, permissions: [String]) {
        self.name = name
        self.summary = summary
        self.isBuiltIn = isBuiltIn
        self.permissions = permissions
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        name = fields.text(1, bytes) ?? ""
        summary = fields.text(2, bytes) ?? ""
        isBuiltIn = fields.flag(3, bytes) ?? false
        permissions = fields.texts(4, bytes) ?? []
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, name)
        writer.text(2, summary)
        writer.flag(3, isBuiltIn)
        writer.texts(4, permissions)
    }
}

/// The reply to access-roles.
public struct AccessRolesReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.accessRolesReply }
    /// The roles.
    public var roles: [RoleRecord]

    /// A reply of these roles.
    public init(roles: [RoleRecord]) { self.roles = roles }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        roles = try fields.items(1, bytes, as: RoleRecord.self)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) { writer.items(1, roles, source: source) }
}

/// A request to create a role.
public struct RoleCreateRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.roleCreateRequest }
    /// The new role's name.
    public var name: String
    /// The operation's id.
    public var operation: OperationID
    /// The names of what it allows.
    public var permissions: [String]
    /// What it is for.
    public var summary: String?

    /// A request of these values.
    public init(name: String, operation: OperationID, permissions: [String], summary: String? = nil) {
        self.name = name
        self.operation = operation
        self.permissions = permissions
        self.summary = summary
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        name = fields.text(1, bytes) ?? ""
        try RoleName.check(name)
        operation = fields.id(2, bytes) ?? OperationID(high: 0, low: 0)
        permissions = fields.texts(3, bytes) ?? []
        summary = fields.text(4, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, name)
        writer.id(2, operation)
        writer.texts(3, permissions)
        if let summary { writer.text(4, summary) }
    }
}

/// A request to remove a role.
public struct RoleDeleteRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.roleDeleteRequest }
    /// The role's name.
    public var name: String

    /// A request for this role.
    public init(name: String) { self.name = name }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) { name = fields.text(1, bytes) ?? "" }

    public func encode(to writer: inout BodyWriter, source: RawSpan) { writer.text(1, name) }
}

/// The rules for the name of a role that an admin makes.
public enum RoleName {
    /// Checks a name: 2 to 64 letters, digits, '-' and '_'.
    ///
    /// - Throws: `invalidName`.
    public static func check(_ name: String) throws(Refusal) {
        guard (Limits.minimumName...Limits.maximumRoleName).contains(name.utf8.count), name.utf8.allSatisfy(isAllowed) else {
            throw Refusal(.invalidName, "a role's name has from 2 to 64 letters, digits, '-' and '_'")
        }
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
