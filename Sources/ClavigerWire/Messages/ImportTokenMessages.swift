/// One import token, as shown to callers; the reply to import-token-create.
public struct ImportTokenRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.importTokenRecord }
    /// The import token's id.
    public var id: ImportTokenID
    /// When it was created, in milliseconds since 1970.
    public var created: UInt64
    /// When it ends, in milliseconds since 1970.
    public var expires: UInt64
    /// How often it may be taken.
    public var uses: UInt32
    /// How often it was taken.
    public var used: UInt32
    /// Whether it can still be taken.
    public var state: ImportTokenState
    /// The digest of OAEP.
    public var oaep: OAEPDigest
    /// Who created it.
    public var createdBy: String

    /// A record of these values.
    public init(
        id: ImportTokenID, created: UInt64, expires: UInt64, uses: UInt32, used: UInt32, state: ImportTokenState,
        oaep: OAEPDigest, createdBy: String
    ) {
        self.id = id
        self.created = created
        self.expires = expires
        self.uses = uses
        self.used = used
        self.state = state
        self.oaep = oaep
        self.createdBy = createdBy
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.id(1, bytes) ?? .zero
        created = fields.u64(2, bytes) ?? 0
        expires = fields.u64(3, bytes) ?? 0
        uses = fields.u32(4, bytes) ?? 0
        used = fields.u32(5, bytes) ?? 0
        state = try fields.choice(6, bytes)
        oaep = try fields.choice(7, bytes)
        createdBy = fields.text(8, bytes) ?? ""
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
        writer.u64(2, created)
        writer.u64(3, expires)
        writer.u32(4, uses)
        writer.u32(5, used)
        writer.u8(6, state.rawValue)
        writer.u8(7, oaep.rawValue)
        writer.text(8, createdBy)
    }
}

/// A request for an import token.
public struct ImportTokenCreateRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.importTokenCreateRequest }
    /// For how many seconds; 600 when nil.
    public var ttl: UInt32?
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// How often it may be taken; once when nil.
    public var uses: UInt32?

    /// A request of these values.
    public init(ttl: UInt32? = nil, operation: OperationID, uses: UInt32? = nil) {
        self.ttl = ttl
        self.operation = operation
        self.uses = uses
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        ttl = fields.u32(1, bytes)
        operation = fields.id(2, bytes) ?? .zero
        uses = fields.u32(3, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u32(1, ttl)
        writer.id(2, operation)
        writer.u32(3, uses)
    }
}

/// A request to take or delete an import token.
public struct ImportTokenRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.importTokenRequest }
    /// The import token's id.
    public var id: ImportTokenID
    /// The operation's id, made by the client.
    public var operation: OperationID

    /// A request of these values.
    public init(id: ImportTokenID, operation: OperationID) {
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

/// What encrypting key material for the token needs; taking it spent one use.
public struct ImportTokenTakeReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.importTokenTakeReply }
    /// The import token's id.
    public var id: ImportTokenID
    /// The RSA public key: SubjectPublicKeyInfo, DER.
    public var publicKey: [UInt8]
    /// Good for one import.
    public var nonce: [UInt8]
    /// The digest of OAEP.
    public var oaep: OAEPDigest
    /// How often it may still be taken.
    public var remaining: UInt32
    /// When it ends, in milliseconds since 1970.
    public var expires: UInt64

    /// A reply of these values.
    public init(id: ImportTokenID, publicKey: [UInt8], nonce: [UInt8], oaep: OAEPDigest, remaining: UInt32, expires: UInt64) {
        self.id = id
        self.publicKey = publicKey
        self.nonce = nonce
        self.oaep = oaep
        self.remaining = remaining
        self.expires = expires
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.id(1, bytes) ?? .zero
        publicKey = fields.bytes(2, bytes) ?? []
        nonce = fields.bytes(3, bytes) ?? []
        oaep = try fields.choice(4, bytes)
        remaining = fields.u32(5, bytes) ?? 0
        expires = fields.u64(6, bytes) ?? 0
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
        writer.bytes(2, publicKey)
        writer.bytes(3, nonce)
        writer.u8(4, oaep.rawValue)
        writer.u32(5, remaining)
        writer.u64(6, expires)
    }
}

/// The reply to import-token-list.
public struct ImportTokenListReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.importTokenListReply }
    /// By creation time.
    public var tokens: [ImportTokenRecord]
    /// Where the next page begins; absent on the last.
    public var next: [UInt8]?

    /// A reply of these values.
    public init(tokens: [ImportTokenRecord], next: [UInt8]? = nil) {
        self.tokens = tokens
        self.next = next
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        tokens = try fields.items(1, bytes, as: ImportTokenRecord.self)
        next = fields.bytes(2, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.items(1, tokens, source: source)
        writer.bytes(2, next)
    }
}
