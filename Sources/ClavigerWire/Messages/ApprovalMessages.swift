/// One request for what needs a second person; the reply to every opcode about them but the list.
public struct ApprovalRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.approvalRecord }
    /// The id of what was asked for.
    public var id: ApprovalID
    /// What is to be done.
    public var action: ControlledAction
    /// The key; nil: the instance.
    public var key: KeyID?
    /// The key's name.
    public var keyName: String?
    /// Why it was asked for; empty when nothing was said.
    public var reason: String
    /// Who asked.
    public var requester: String
    /// The uid of who asked.
    public var requesterUID: UInt32
    /// When it was asked for, in milliseconds since 1970.
    public var created: UInt64
    /// When it expires unless it is decided before, in milliseconds since 1970.
    public var expires: UInt64
    /// What has become of it.
    public var state: ApprovalState
    /// Who decided.
    public var approver: String?
    /// The uid of who decided.
    public var approverUID: UInt32?
    /// When it was decided, in milliseconds since 1970.
    public var decided: UInt64?
    /// Whether it deletes the key though resources are registered with it.
    public var force = false
    /// A change of policies: the body of the policy-set request to be carried out.
    public var body: [UInt8]?

    /// A record of an open request; the rest is filled in by who makes it.
    public init(
        id: ApprovalID, action: ControlledAction, reason: String, requester: String, requesterUID: UInt32, created: UInt64,
        expires: UInt64, state: ApprovalState
    ) {
        self.id = id
        self.action = action
        self.reason = reason
        self.requester = requester
        self.requesterUID = requesterUID
        self.created = created
        self.expires = expires
        self.state = state
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.id(1, bytes) ?? .zero
        action = try fields.choice(2, bytes)
        key = fields.id(3, bytes)
        keyName = fields.text(4, bytes)
        reason = fields.text(5, bytes) ?? ""
        requester = fields.text(6, bytes) ?? ""
        requesterUID = fields.u32(7, bytes) ?? 0
        created = fields.u64(8, bytes) ?? 0
        expires = fields.u64(9, bytes) ?? 0
        state = try fields.choice(10, bytes)
        approver = fields.text(11, bytes)
        approverUID = fields.u32(12, bytes)
        decided = fields.u64(13, bytes)
        force = fields.flag(14, bytes) ?? false
        body = fields.bytes(15, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
        writer.u8(2, action.rawValue)
        writer.id(3, key)
        writer.text(4, keyName)
        writer.text(5, reason)
        writer.text(6, requester)
        writer.u32(7, requesterUID)
        writer.u64(8, created)
        writer.u64(9, expires)
        writer.u8(10, state.rawValue)
        writer.text(11, approver)
        writer.u32(12, approverUID)
        writer.u64(13, decided)
        writer.mark(14, force)
        writer.bytes(15, body)
    }
}

/// A request to do what needs a second person.
public struct ApprovalRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.approvalRequest }
    /// What is to be done.
    public var action: ControlledAction
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// The key; nil: the instance.
    public var key: KeyReference?
    /// Why, for the record.
    public var reason: String?
    /// A change of policies: the body of the policy-set request to be carried out.
    public var body: [UInt8]?
    /// Whether to delete the key though resources are registered with it.
    public var force = false

    /// A request of these values.
    public init(
        action: ControlledAction, operation: OperationID, key: KeyReference? = nil, reason: String? = nil, body: [UInt8]? = nil,
        force: Bool = false
    ) {
        self.action = action
        self.operation = operation
        self.key = key
        self.reason = reason
        self.body = body
        self.force = force
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        action = try fields.choice(1, bytes)
        operation = fields.id(2, bytes) ?? .zero
        key = fields.reference(3, bytes)
        reason = fields.text(4, bytes)
        body = fields.bytes(5, bytes)
        force = fields.flag(6, bytes) ?? false
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u8(1, action.rawValue)
        writer.id(2, operation)
        writer.text(3, key?.description)
        writer.text(4, reason)
        writer.bytes(5, body)
        writer.mark(6, force)
    }
}

/// A request for a page of what was asked for.
public struct ApprovalListRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.approvalListRequest }
    /// How many at most; 100 when nil.
    public var limit: UInt32?
    /// `next` of the page before; nil for the first.
    public var cursor: [UInt8]?
    /// Whether what is decided or expired is listed too.
    public var all = false

    /// A request of these values.
    public init(limit: UInt32? = nil, cursor: [UInt8]? = nil, all: Bool = false) {
        self.limit = limit
        self.cursor = cursor
        self.all = all
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        limit = fields.u32(1, bytes)
        cursor = fields.bytes(2, bytes)
        all = fields.flag(3, bytes) ?? false
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u32(1, limit)
        writer.bytes(2, cursor)
        writer.mark(3, all)
    }
}

/// The reply to approval-list.
public struct ApprovalListReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.approvalListReply }
    /// By creation time.
    public var approvals: [ApprovalRecord]
    /// Where the next page begins; absent on the last.
    public var next: [UInt8]?

    /// A reply of these values.
    public init(approvals: [ApprovalRecord], next: [UInt8]? = nil) {
        self.approvals = approvals
        self.next = next
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        approvals = try fields.items(1, bytes, as: ApprovalRecord.self)
        next = fields.bytes(2, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.items(1, approvals, source: source)
        writer.bytes(2, next)
    }
}

/// A request to approve or cancel what was asked for.
public struct ApprovalDecideRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.approvalDecideRequest }
    /// The id of what was asked for.
    public var id: ApprovalID
    /// The operation's id, made by the client.
    public var operation: OperationID

    /// A request of these values.
    public init(id: ApprovalID, operation: OperationID) {
        self.id = id
        self.operation = operation
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.id(1, bytes) ?? .zero
        operation = fields.id(2, bytes) ?? .zero
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
        writer.id(2, operation)
    }
}
