/// What an item of a wrap request wants wrapped.
public enum WrapInput: Sendable, Equatable {
    /// The bytes of this range.
    case given(ByteRange)
    /// So many bytes, made by the token.
    case generated(Int)
    /// So many bytes, made inside the token, which nobody is shown: for keys that wrap by AES key wrap.
    case sealed(Int)
}

/// An item of a wrap request.
public struct WrapItem: WireMessage {
    public static var schema: [FieldEntry] { Schema.wrapItem }
    /// What to wrap.
    public var input: WrapInput
    /// Where the context's encoding lies; nil for the empty list.
    public var context: ByteRange?

    /// An item of these values.
    public init(input: WrapInput, context: ByteRange? = nil) {
        self.input = input
        self.context = context
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        switch (fields.range(1), fields.u32(2, bytes)) {
        case (.some(let plaintext), nil): input = .given(plaintext)
        case (nil, .some(let count)): input = .generated(Int(count))
        case (nil, nil): throw Refusal(.missingField, "an item needs field 1 (plaintext) or field 2 (generate)")
        case (.some, .some): throw Refusal(.invalidValue, "an item has field 1 (plaintext) or field 2 (generate), never both")
        }
        context = fields.range(3)
        if fields.flag(4, bytes) == true {
            guard case .generated(let count) = input else {
                throw Refusal(.invalidValue, "field 4 (sealed) goes with field 2 (generate)")
            }
            input = .sealed(count)
        }
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        switch input {
        case .given(let range): writer.bytes(1, source.part(range))
        case .generated(let count), .sealed(let count): writer.u32(2, UInt32(count))
        }
        if let context { writer.bytes(3, source.part(context)) }
        if case .sealed = input { writer.flag(4, true) }
    }

    /// The length of the plaintext.
    public var plaintextLength: Int {
        switch input {
        case .given(let range): range.count
        case .generated(let count), .sealed(let count): count
        }
    }
}

/// A request to wrap.
public struct WrapRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.wrapRequest }
    /// The key.
    public var key: KeyReference
    /// What to wrap, 1 to 256 items, 256 KiB of plaintext in all.
    public var items: [WrapItem]

    /// A request of these values.
    public init(key: KeyReference, items: [WrapItem]) {
        self.key = key
        self.items = items
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = KeyReference(fields.text(1, bytes) ?? "")
        items = try fields.items(2, bytes, as: WrapItem.self)
        guard items.reduce(0, { $0 + $1.plaintextLength }) <= Limits.maximumBatchPlaintext else { throw Refusal(.batchSize) }
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.items(2, items, source: source)
    }
}

/// An item of an unwrap or rewrap request.
public struct OpenItem: WireMessage {
    public static var schema: [FieldEntry] { Schema.openItem }
    /// Where the envelope lies.
    public var envelope: ByteRange
    /// Where the context's encoding lies; nil for the empty list.
    public var context: ByteRange?

    /// An item of these values.
    public init(envelope: ByteRange, context: ByteRange? = nil) {
        self.envelope = envelope
        self.context = context
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        envelope = fields.range(1) ?? ByteRange(offset: 0, count: 0)
        context = fields.range(2)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.bytes(1, source.part(envelope))
        if let context { writer.bytes(2, source.part(context)) }
    }
}

// Bytes that are no envelope are refused item by item and add no plaintext to the reply. Padding (suite 2) can hide up to 15 bytes
// an item from this sum; `Limits.maximumReplySize` has room for them.
private func checkBatch(_ items: [OpenItem], _ bytes: RawSpan) throws(Refusal) {
    var total = 0
    for item in items {
        if let envelope = try? Envelope(bytes.part(item.envelope)) { total += envelope.plaintextFloor }
    }
    guard total <= Limits.maximumBatchPlaintext else { throw Refusal(.batchSize) }
}

/// A request to unwrap.
public struct UnwrapRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.unwrapRequest }
    /// The key that every envelope must name; nil for none in particular.
    public var key: KeyReference?
    /// What to open, 1 to 256 items.
    public var items: [OpenItem]
    /// Whether stale envelopes are to be made anew.
    public var refresh: Bool

    /// A request of these values.
    public init(key: KeyReference?, items: [OpenItem], refresh: Bool = false) {
        self.key = key
        self.items = items
        self.refresh = refresh
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.text(1, bytes).map { KeyReference($0) }
        items = try fields.items(2, bytes, as: OpenItem.self)
        refresh = fields.flag(3, bytes) ?? false
        try checkBatch(items, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        if let key { writer.text(1, key.description) }
        writer.items(2, items, source: source)
        if refresh { writer.flag(3, true) }
    }
}

/// A request to rewrap.
public struct RewrapRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.rewrapRequest }
    /// The key that every envelope must name; nil for none in particular.
    public var key: KeyReference?
    /// What to make anew, 1 to 256 items.
    public var items: [OpenItem]

    /// A request of these values.
    public init(key: KeyReference?, items: [OpenItem]) {
        self.key = key
        self.items = items
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.text(1, bytes).map { KeyReference($0) }
        items = try fields.items(2, bytes, as: OpenItem.self)
        try checkBatch(items, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        if let key { writer.text(1, key.description) }
        writer.items(2, items, source: source)
    }
}

/// An item of the reply to wrap, unwrap and rewrap.
public struct CipherItem: WireMessage {
    public static var schema: [FieldEntry] { Schema.cipherItem }
    /// 0, or why the item was refused: a number, since a newer daemon may know more codes.
    public var code: UInt32
    /// For people, when it was refused.
    public var message: String?
    /// The key's id.
    public var key: KeyID?
    /// The version of the envelope given (unwrap, rewrap) or made (wrap).
    public var version: UInt32?
    /// Where the envelope made lies.
    public var envelope: ByteRange?
    /// The version of the envelope made, when it is not `version`.
    public var envelopeVersion: UInt32?
    /// Where the plaintext lies.
    public var plaintext: ByteRange?
    /// Whether the key has a newer version than the envelope's.
    public var stale: Bool?

    /// An item that was done; the rest is filled in by who makes it.
    public init(key: KeyID, version: UInt32) {
        code = 0
        self.key = key
        self.version = version
    }

    /// An item that was refused.
    public init(_ refusal: Refusal) {
        code = refusal.code.rawValue
        message = refusal.message
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        code = fields.u32(1, bytes) ?? 0
        message = fields.text(2, bytes)
        key = fields.id(3, bytes)
        version = fields.u32(4, bytes)
        envelope = fields.range(5)
        envelopeVersion = fields.u32(6, bytes)
        plaintext = fields.range(7)
        stale = fields.flag(8, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u32(1, code)
        if let message { writer.text(2, message) }
        if let key { writer.id(3, key) }
        if let version { writer.u32(4, version) }
        if let envelope { writer.bytes(5, source.part(envelope)) }
        if let envelopeVersion { writer.u32(6, envelopeVersion) }
        if let plaintext { writer.bytes(7, source.part(plaintext)) }
        if let stale { writer.flag(8, stale) }
    }
}

/// The reply to wrap, unwrap and rewrap.
public struct CipherReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.cipherReply }
    /// One for each item of the request, in its order.
    public var items: [CipherItem]

    /// A reply of these items.
    public init(items: [CipherItem]) { self.items = items }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        items = try fields.items(1, bytes, as: CipherItem.self)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.items(1, items, source: source)
    }
}
