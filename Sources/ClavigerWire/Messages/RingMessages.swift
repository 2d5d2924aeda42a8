/// One key ring, as shown to callers; the reply to ring-create.
public struct RingRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.ringRecord }
    /// The ring's id.
    public var id: String
    /// When it was created, in milliseconds since 1970.
    public var created: UInt64
    /// Who created it.
    public var createdBy: String
    /// How many keys it holds, destroyed ones included.
    public var keys: UInt32

    /// A record of these values.
    public init(id: String, created: UInt64, createdBy: String, keys: UInt32) {
        self.id = id
        self.created = created
        self.createdBy = createdBy
        self.keys = keys
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.text(1, bytes) ?? ""
        created = fields.u64(2, bytes) ?? 0
        createdBy = fields.text(3, bytes) ?? ""
        keys = fields.u32(4, bytes) ?? 0
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, id)
        writer.u64(2, created)
        writer.text(3, createdBy)
        writer.u32(4, keys)
    }
}

/// A request to create a key ring.
public struct RingCreateRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.ringCreateRequest }
    /// The new ring's id.
    public var id: String
    /// The operation's id, made by the client.
    public var operation: OperationID

    /// A request of these values.
    public init(id: String, operation: OperationID) {
        self.id = id
        self.operation = operation
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.text(1, bytes) ?? ""
        operation = fields.id(2, bytes) ?? .zero
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, id)
        writer.id(2, operation)
    }
}

/// A request for a page of a list.
public struct PageRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.pageRequest }
    /// How many at most; 100 when nil.
    public var limit: UInt32?
    /// `next` of the page before; nil for the first.
    public var cursor: [UInt8]?

    /// A request of these values.
    public init(limit: UInt32? = nil, cursor: [UInt8]? = nil) {
        self.limit = limit
        self.cursor = cursor
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        limit = fields.u32(1, bytes)
        cursor = fields.bytes(2, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u32(1, limit)
        writer.bytes(2, cursor)
    }
}

/// The reply to ring-list.
public struct RingListReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.ringListReply }
    /// The rings, by id.
    public var rings: [RingRecord]
    /// Where the next page begins; absent on the last.
    public var next: [UInt8]?

    /// A reply of these values.
    public init(rings: [RingRecord], next: [UInt8]? = nil) {
        self.rings = rings
        self.next = next
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        rings = try fields.items(1, bytes, as: RingRecord.self)
        next = fields.bytes(2, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.items(1, rings, source: source)
        writer.bytes(2, next)
    }
}

/// A request to delete a key ring.
public struct RingDeleteRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.ringDeleteRequest }
    /// The ring's id.
    public var id: String
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// Whether destroyed keys that it still holds move to `default`.
    public var force = false

    /// A request of these values.
    public init(id: String, operation: OperationID, force: Bool = false) {
        self.id = id
        self.operation = operation
        self.force = force
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.text(1, bytes) ?? ""
        operation = fields.id(2, bytes) ?? .zero
        force = fields.flag(3, bytes) ?? false
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, id)
        writer.id(2, operation)
        writer.mark(3, force)
    }
}

/// The reply to ring-delete.
public struct RingDeleteReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.ringDeleteReply }
    /// How many destroyed keys moved to `default`.
    public var moved: UInt32

    /// A reply of these values.
    public init(moved: UInt32) {
        self.moved = moved
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        moved = fields.u32(1, bytes) ?? 0
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u32(1, moved)
    }
}
