/// A request for what a standard key keeps.
public struct KeyReadRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyReadRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The version; nil: the newest.
    public var version: UInt32?

    /// A request of these values.
    public init(key: KeyReference, version: UInt32? = nil) {
        self.key = key
        self.version = version
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        version = fields.u32(2, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.u32(2, version)
    }
}

/// What a standard key keeps. The secret stays where it lies.
public struct KeyReadReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyReadReply }
    /// The secret.
    public var payload: ByteRange
    /// The version that it is of.
    public var version: UInt32
    /// The key's id.
    public var key: KeyID

    /// A reply of these values.
    public init(payload: ByteRange, version: UInt32, key: KeyID) {
        self.payload = payload
        self.version = version
        self.key = key
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        payload = fields.range(1) ?? ByteRange(offset: 0, count: 0)
        version = fields.u32(2, bytes) ?? 0
        key = fields.id(3, bytes) ?? .zero
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.bytes(1, source.part(payload))
        writer.u32(2, version)
        writer.id(3, key)
    }
}
