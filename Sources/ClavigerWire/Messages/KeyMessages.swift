/// One key, as shown to callers; the reply to key-create, key-show and key-rotate.
public struct KeyRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.key }
    /// The key's id.
    public var id: KeyID
    /// Its name.
    public var name: String
    /// Its state.
    public var state: KeyState
    /// When it was created, in milliseconds since 1970.
    public var created: UInt64
    /// Its newest version.
    public var version: UInt32
    /// When that version was made, in milliseconds since 1970.
    public var versionCreated: UInt64
    /// The suite of that version.
    public var suite: Suite

    /// A record of these values.
    public init(
        id: KeyID, name: String, state: KeyState, created: UInt64, version: UInt32, versionCreated: UInt64, suite: Suite
    ) {
        self.id = id
        self.name = name
        self.state = state
        self.created = created
        self.version = version
        self.versionCreated = versionCreated
        self.suite = suite
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        guard let state = KeyState(rawValue: fields.u8(3, bytes) ?? 0) else {
            throw Refusal(.invalidValue, "field 3 (state) is outside its range")
        }
        id = fields.id(1, bytes) ?? KeyID(high: 0, low: 0)
        name = fields.text(2, bytes) ?? ""
        self.state = state
        created = fields.u64(4, bytes) ?? 0
        version = fields.u32(5, bytes) ?? 0
        versionCreated = fields.u64(6, bytes) ?? 0
        suite = Suite(rawValue: fields.u8(7, bytes) ?? 0) ?? .aesGCM
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
        writer.text(2, name)
        writer.u8(3, state.rawValue)
        writer.u64(4, created)
        writer.u32(5, version)
        writer.u64(6, versionCreated)
        writer.u8(7, suite.rawValue)
    }
}

/// One version of a key, as shown to callers.
public struct VersionRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.version }
    /// Its number.
    public var version: UInt32
    /// When it was made, in milliseconds since 1970.
    public var created: UInt64
    /// Its suite.
    public var suite: Suite
    /// Whether it is the one that wraps.
    public var isCurrent: Bool
    /// A bound on how often it has encrypted.
    public var wraps: UInt64
    /// Whether its object on the token answers as it did when it was made.
    public var isUsable: Bool

    /// A record of these values.
    public init(version: UInt32, created: UInt64, suite: Suite, isCurrent: Bool, wraps: UInt64, isUsable: Bool) {
        self.version = version
        self.created = created
        self.suite = suite
        self.isCurrent = isCurrent
        self.wraps = wraps
        self.isUsable = isUsable
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        version = fields.u32(1, bytes) ?? 0
        created = fields.u64(2, bytes) ?? 0
        suite = Suite(rawValue: fields.u8(3, bytes) ?? 0) ?? .aesGCM
        isCurrent = fields.flag(4, bytes) ?? false
        wraps = fields.u64(5, bytes) ?? 0
        isUsable = fields.flag(6, bytes) ?? false
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u32(1, version)
        writer.u64(2, created)
        writer.u8(3, suite.rawValue)
        writer.flag(4, isCurrent)
        writer.u64(5, wraps)
        writer.flag(6, isUsable)
    }
}

/// A request to create a root key.
public struct KeyCreateRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyCreateRequest }
    /// The new key's name.
    public var name: String
    /// The operation's id.
    public var operation: OperationID

    /// A request of these values.
    public init(name: String, operation: OperationID) {
        self.name = name
        self.operation = operation
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        name = fields.text(1, bytes) ?? ""
        try KeyName.check(name)
        operation = fields.id(2, bytes) ?? OperationID(high: 0, low: 0)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, name)
        writer.id(2, operation)
    }
}

/// A request for a page of keys.
public struct KeyListRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyListRequest }
    /// How many at most.
    public var limit: UInt32?
    /// Where the page begins: `next` of the page before.
    public var cursor: [UInt8]?

    /// A request of these values.
    public init(limit: UInt32? = nil, cursor: [UInt8]? = nil) {
        self.limit = limit
        self.cursor = cursor
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        limit = fields.u32(1, bytes)
        cursor = fields.range(2).map { bytes.part($0).array() }
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        if let limit { writer.u32(1, limit) }
        if let cursor { writer.bytes(2, cursor) }
    }
}

/// The reply to key-list.
public struct KeyListReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyListReply }
    /// The keys, by creation time and id.
    public var keys: [KeyRecord]
    /// Where the next page begins; nil on the last.
    public var next: [UInt8]?

    /// A reply of these values.
    public init(keys: [KeyRecord], next: [UInt8]?) {
        self.keys = keys
        self.next = next
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        keys = try fields.items(1, bytes, as: KeyRecord.self)
        next = fields.range(2).map { bytes.part($0).array() }
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.items(1, keys, source: source)
        if let next { writer.bytes(2, next) }
    }
}

/// A request to show a key.
public struct KeyShowRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyShowRequest }
    /// The key.
    public var key: KeyReference

    /// A request for this key.
    public init(key: KeyReference) { self.key = key }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = KeyReference(fields.text(1, bytes) ?? "")
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
    }
}

/// A request for a page of a key's versions.
public struct KeyVersionsRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyVersionsRequest }
    /// The key.
    public var key: KeyReference
    /// How many at most.
    public var limit: UInt32?
    /// Only versions older than this.
    public var before: UInt32?

    /// A request of these values.
    public init(key: KeyReference, limit: UInt32? = nil, before: UInt32? = nil) {
        self.key = key
        self.limit = limit
        self.before = before
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = KeyReference(fields.text(1, bytes) ?? "")
        limit = fields.u32(2, bytes)
        before = fields.u32(3, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        if let limit { writer.u32(2, limit) }
        if let before { writer.u32(3, before) }
    }
}

/// The reply to key-versions.
public struct KeyVersionsReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyVersionsReply }
    /// The key's id.
    public var key: KeyID
    /// The versions, newest first.
    public var versions: [VersionRecord]
    /// Whether older versions follow.
    public var more: Bool

    /// A reply of these values.
    public init(key: KeyID, versions: [VersionRecord], more: Bool) {
        self.key = key
        self.versions = versions
        self.more = more
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.id(1, bytes) ?? KeyID(high: 0, low: 0)
        versions = try fields.items(2, bytes, as: VersionRecord.self)
        more = fields.flag(3, bytes) ?? false
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, key)
        writer.items(2, versions, source: source)
        writer.flag(3, more)
    }
}

/// A request to rotate a key.
public struct KeyRotateRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyRotateRequest }
    /// The key.
    public var key: KeyReference
    /// The operation's id.
    public var operation: OperationID

    /// A request of these values.
    public init(key: KeyReference, operation: OperationID) {
        self.key = key
        self.operation = operation
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = KeyReference(fields.text(1, bytes) ?? "")
        operation = fields.id(2, bytes) ?? OperationID(high: 0, low: 0)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
    }
}
