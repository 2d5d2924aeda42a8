// A key's versions: census, retire, destroy.

/// What was seen of one version of a key.
public struct CensusRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.censusRecord }
    /// Its number.
    public var version: UInt32
    /// Its state.
    public var state: VersionState
    /// How many envelopes it has made, as far as was seen.
    public var wraps: UInt64
    /// How many of its envelopes were opened, as far as was seen.
    public var unwraps: UInt64
    /// When it was last seen to make one, in milliseconds since 1970.
    public var lastWrap: UInt64?
    /// When one of its envelopes was last seen to be opened, in milliseconds since 1970.
    public var lastUnwrap: UInt64?
    /// Whether it could be retired now.
    public var isRetirable: Bool

    /// A record of these values.
    public init(
        version: UInt32, state: VersionState, wraps: UInt64, unwraps: UInt64, lastWrap: UInt64? = nil, lastUnwrap: UInt64? = nil,
        isRetirable: Bool
    ) {
        self.version = version
        self.state = state
        self.wraps = wraps
        self.unwraps = unwraps
        self.lastWrap = lastWrap
        self.lastUnwrap = lastUnwrap
        self.isRetirable = isRetirable
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        version = fields.u32(1, bytes) ?? 0
        state = try fields.choice(2, bytes)
        wraps = fields.u64(3, bytes) ?? 0
        unwraps = fields.u64(4, bytes) ?? 0
        lastWrap = fields.u64(5, bytes)
        lastUnwrap = fields.u64(6, bytes)
        isRetirable = fields.flag(7, bytes) ?? false
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u32(1, version)
        writer.u8(2, state.rawValue)
        writer.u64(3, wraps)
        writer.u64(4, unwraps)
        writer.u64(5, lastWrap)
        writer.u64(6, lastUnwrap)
        writer.flag(7, isRetirable)
    }
}

/// The reply to key-census.
public struct KeyCensusReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyCensusReply }
    /// The key's id.
    public var id: KeyID
    /// Newest first.
    public var versions: [CensusRecord]
    /// Whether older versions follow.
    public var more: Bool

    /// A reply of these values.
    public init(id: KeyID, versions: [CensusRecord], more: Bool) {
        self.id = id
        self.versions = versions
        self.more = more
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.id(1, bytes) ?? .zero
        versions = try fields.items(2, bytes, as: CensusRecord.self)
        more = fields.flag(3, bytes) ?? false
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
        writer.items(2, versions, source: source)
        writer.flag(3, more)
    }
}

/// A request to retire a version, or to take that back.
public struct VersionRetireRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.versionRetireRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// The version.
    public var version: UInt32
    /// Whether the version is used again instead.
    public var undo = false

    /// A request of these values.
    public init(key: KeyReference, operation: OperationID, version: UInt32, undo: Bool = false) {
        self.key = key
        self.operation = operation
        self.version = version
        self.undo = undo
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        operation = fields.id(2, bytes) ?? .zero
        version = fields.u32(3, bytes) ?? 0
        undo = fields.flag(4, bytes) ?? false
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
        writer.u32(3, version)
        writer.mark(4, undo)
    }
}

/// A request to destroy the material of a retired version.
public struct VersionDestroyRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.versionDestroyRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// The version.
    public var version: UInt32

    /// A request of these values.
    public init(key: KeyReference, operation: OperationID, version: UInt32) {
        self.key = key
        self.operation = operation
        self.version = version
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        operation = fields.id(2, bytes) ?? .zero
        version = fields.u32(3, bytes) ?? 0
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
        writer.u32(3, version)
    }
}
