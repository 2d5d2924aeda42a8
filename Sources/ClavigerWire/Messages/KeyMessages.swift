/// What narrows a list of keys; a key must meet all that is given.
public struct KeyFilter: Sendable, Equatable {
    /// Only keys of this ring.
    public var ring: String?
    /// Only keys in these states; nil for all but destroyed ones.
    public var states: [KeyState]?
    /// Only root keys or standard keys.
    public var kind: KeyKind?
    /// Only keys that this is found in.
    public var search: String?
    /// Only keys that this expression holds for.
    public var filter: String?

    /// A filter that lets all keys pass but destroyed ones.
    public init() {}

    init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        ring = fields.text(3, bytes)
        states = fields.range(4) == nil ? nil : try fields.items(4, bytes, as: KeyStateItem.self).map(\.state)
        kind = try fields.choice(5, bytes)
        search = fields.text(6, bytes)
        filter = fields.text(7, bytes)
    }

    func encode(to writer: inout BodyWriter) {
        writer.text(3, ring)
        if let states { writer.items(4, states.map { KeyStateItem($0) }, source: RawSpan()) }
        writer.u8(5, kind?.rawValue)
        writer.text(6, search)
        writer.text(7, filter)
    }
}

/// One state of a list of states.
struct KeyStateItem: WireMessage {
    static var schema: [FieldEntry] { Schema.keyStateItem }
    var state: KeyState
    init(_ state: KeyState) { self.state = state }
    init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) { state = try fields.choice(1, bytes) }
    func encode(to writer: inout BodyWriter, source: RawSpan) { writer.u8(1, state.rawValue) }
}

/// A request for a page of keys.
public struct KeyListRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyListRequest }
    /// How many at most.
    public var limit: UInt32?
    /// Where the page begins: `next` of the page before.
    public var cursor: [UInt8]?
    /// Which keys.
    public var filter: KeyFilter
    /// The order; nil: by creation time.
    public var sort: String?

    /// A request of these values.
    public init(limit: UInt32? = nil, cursor: [UInt8]? = nil, filter: KeyFilter = KeyFilter(), sort: String? = nil) {
        self.limit = limit
        self.cursor = cursor
        self.filter = filter
        self.sort = sort
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        limit = fields.u32(1, bytes)
        cursor = fields.bytes(2, bytes)
        filter = try KeyFilter(fields, bytes)
        sort = fields.text(8, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u32(1, limit)
        writer.bytes(2, cursor)
        filter.encode(to: &writer)
        writer.text(8, sort)
    }
}

/// The reply to key-list.
public struct KeyListReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyListReply }
    /// The keys, in the order asked for.
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
        next = fields.bytes(2, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.items(1, keys, source: source)
        writer.bytes(2, next)
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

/// A request for a page of a key's versions, or of how they were used.
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
        writer.u32(2, limit)
        writer.u32(3, before)
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

/// A request to count keys.
public struct KeyCountRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyCountRequest }
    /// Which keys.
    public var filter: KeyFilter

    /// A request of these values.
    public init(filter: KeyFilter = KeyFilter()) { self.filter = filter }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        filter = try KeyFilter(fields, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        filter.encode(to: &writer)
    }
}

/// How many keys match.
public struct KeyCountReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyCountReply }
    /// How many keys the caller would be listed.
    public var count: UInt64

    /// A reply of these values.
    public init(count: UInt64) {
        self.count = count
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        count = fields.u64(1, bytes) ?? 0
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u64(1, count)
    }
}
