/// One grant, as shown to admins; the reply to access-grant and access-revoke.
public struct GrantRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.grant }
    /// The grant's id.
    public var id: OperationID
    /// Who, as it is written: `user:ann,unit:payroll.service`.
    public var subject: String
    /// The role's name.
    public var role: String
    /// Where: `instance`, `ring:NAME` or `key:ID`.
    public var scope: String
    /// When it was made, in milliseconds since 1970.
    public var created: UInt64
    /// Who made it.
    public var createdBy: String
    /// When it ends, in milliseconds since 1970; nil: never.
    public var expires: UInt64?
    /// The strings that an envelope's context must begin with, encoded as contexts are; nil for none.
    public var context: [UInt8]?
    /// The number to which the user is pinned.
    public var uid: UInt32?
    /// The number to which the group is pinned.
    public var gid: UInt32?
    /// Why it is good for nobody now; nil when it is good.
    public var trouble: String?

    /// A record of these values.
    public init(
        id: OperationID, subject: String, role: String, scope: String, created: UInt64, createdBy: String,
        expires: UInt64? = nil, context: [UInt8]? = nil, uid: UInt32? = nil, gid: UInt32? = nil, trouble: String? = nil
    ) {
        self.id = id
        self.subject = subject
        self.role = role
        self.scope = scope
        self.created = created
        self.createdBy = createdBy
        self.expires = expires
        self.context = context
        self.uid = uid
        self.gid = gid
        self.trouble = trouble
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.id(1, bytes) ?? OperationID(high: 0, low: 0)
        subject = fields.text(2, bytes) ?? ""
        role = fields.text(3, bytes) ?? ""
        scope = fields.text(4, bytes) ?? ""
        created = fields.u64(5, bytes) ?? 0
        createdBy = fields.text(6, bytes) ?? ""
        expires = fields.u64(7, bytes)
        context = fields.range(8).map { bytes.part($0).array() }
        uid = fields.u32(9, bytes)
        gid = fields.u32(10, bytes)
        trouble = fields.text(11, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
        writer.text(2, subject)
        writer.text(3, role)
        writer.text(4, scope)
        writer.u64(5, created)
        writer.text(6, createdBy)
        if let expires { writer.u64(7, expires) }
        if let context { writer.bytes(8, context) }
        if let uid { writer.u32(9, uid) }
        if let gid { writer.u32(10, gid) }
        if let trouble { writer.text(11, trouble) }
    }
}

/// A request to grant.
public struct AccessGrantRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.accessGrantRequest }
    /// Who.
    public var subject: String
    /// The operation's id, which becomes the grant's.
    public var operation: OperationID
    /// The role's name.
    public var role: String
    /// Where.
    public var scope: String
    /// When it ends, in milliseconds since 1970.
    public var expires: UInt64?
    /// The strings that an envelope's context must begin with, encoded as contexts are.
    public var context: [UInt8]?

    /// A request of these values.
    public init(
        subject: String, operation: OperationID, role: String, scope: String, expires: UInt64? = nil, context: [UInt8]? = nil
    ) {
        self.subject = subject
        self.operation = operation
        self.role = role
        self.scope = scope
        self.expires = expires
        self.context = context
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        subject = fields.text(1, bytes) ?? ""
        operation = fields.id(2, bytes) ?? OperationID(high: 0, low: 0)
        role = fields.text(3, bytes) ?? ""
        scope = fields.text(4, bytes) ?? ""
        expires = fields.u64(5, bytes)
        context = fields.range(6).map { bytes.part($0).array() }
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, subject)
        writer.id(2, operation)
        writer.text(3, role)
        writer.text(4, scope)
        if let expires { writer.u64(5, expires) }
        if let context { writer.bytes(6, context) }
    }
}

/// A request to revoke a grant.
public struct AccessRevokeRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.accessRevokeRequest }
    /// The grant's id.
    public var id: OperationID
    /// The operation's id.
    public var operation: OperationID

    /// A request of these values.
    public init(id: OperationID, operation: OperationID) {
        self.id = id
        self.operation = operation
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.id(1, bytes) ?? OperationID(high: 0, low: 0)
        operation = fields.id(2, bytes) ?? OperationID(high: 0, low: 0)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
        writer.id(2, operation)
    }
}

/// A request for a page of grants.
public struct AccessListRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.accessListRequest }
    /// How many at most.
    public var limit: UInt32?
    /// The last grant of the page before.
    public var after: OperationID?
    /// Only grants of this subject.
    public var subject: String?

    /// A request of these values.
    public init(limit: UInt32? = nil, after: OperationID? = nil, subject: String? = nil) {
        self.limit = limit
        self.after = after
        self.subject = subject
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        limit = fields.u32(1, bytes)
        after = fields.id(2, bytes)
        subject = fields.text(3, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        if let limit { writer.u32(1, limit) }
        if let after { writer.id(2, after) }
        if let subject { writer.text(3, subject) }
    }
}

/// The reply to access-list.
public struct AccessListReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.accessListReply }
    /// The grants, oldest first.
    public var grants: [GrantRecord]
    /// Whether others follow.
    public var more: Bool

    /// A reply of these values.
    public init(grants: [GrantRecord], more: Bool) {
        self.grants = grants
        self.more = more
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        grants = try fields.items(1, bytes, as: GrantRecord.self)
        more = fields.flag(2, bytes) ?? false
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.items(1, grants, source: source)
        writer.flag(2, more)
    }
}
