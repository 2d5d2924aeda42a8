// Requests that bring key material about: create, import, rotate.

/// A request to create or import a key.
public struct KeyCreateRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyCreateRequest }
    /// The new key's name.
    public var name: String
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// Whether it is to be a root key or a standard key; nil: a root key.
    public var kind: KeyKind?
    /// What the key is for.
    public var description: String?
    /// Its tags.
    public var tags: [String] = []
    /// Its aliases.
    public var aliases: [String] = []
    /// When it expires, in milliseconds since 1970; nil: never.
    public var expires: UInt64?
    /// The key ring that it belongs to; nil: `default`.
    public var ring: String?
    /// Its rotation policy instead of the instance's: every so many months; 0 for none.
    public var rotationMonths: UInt32?
    /// The actions that need a second person instead of the instance's.
    public var dualControl: DualControl?
    /// Whether none of the instance's policies for new keys is taken over.
    public var withoutPolicies = false
    /// A standard key's secret, or a root key's material of 16, 24 or 32 bytes.
    public var payload: ByteRange?
    /// The import token under whose key the material comes encrypted.
    public var importToken: ImportTokenID?
    /// The material, encrypted with RSA-OAEP for the import token.
    public var encryptedPayload: [UInt8]?
    /// The nonce, encrypted with AES-GCM under the material: IV, ciphertext and tag.
    public var proof: [UInt8]?
    /// The material's size: 128, 192 or 256.
    public var bits: UInt32?
    /// The nonce that was taken with the import token.
    public var nonce: [UInt8]?
    /// The suite; nil: the best that the token can do.
    public var suite: Suite?
    /// With an import token: the new key's id, made by the client and bound by the proof.
    public var keyID: KeyID?

    /// A request for a root key that the token makes; the rest is filled in by who makes it.
    public init(name: String, operation: OperationID) {
        self.name = name
        self.operation = operation
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        name = fields.text(1, bytes) ?? ""
        operation = fields.id(2, bytes) ?? .zero
        kind = try fields.choice(3, bytes)
        description = fields.text(4, bytes)
        tags = fields.texts(5, bytes) ?? []
        aliases = fields.texts(6, bytes) ?? []
        expires = fields.u64(7, bytes)
        ring = fields.text(8, bytes)
        rotationMonths = fields.u32(9, bytes)
        dualControl = fields.u32(10, bytes).map { DualControl(rawValue: $0) }
        withoutPolicies = fields.flag(11, bytes) ?? false
        payload = fields.range(12)
        importToken = fields.id(13, bytes)
        encryptedPayload = fields.bytes(14, bytes)
        proof = fields.bytes(15, bytes)
        bits = fields.u32(16, bytes)
        nonce = fields.bytes(17, bytes)
        suite = try fields.choice(18, bytes)
        keyID = fields.id(19, bytes)
        try KeyName.check(name)
        try KeyText.check(description: description)
        try KeyText.check(tags: tags)
        for alias in aliases { try AliasName.check(alias) }
        try KeyText.check(bits: bits)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, name)
        writer.id(2, operation)
        writer.u8(3, kind?.rawValue)
        writer.text(4, description)
        if !tags.isEmpty { writer.texts(5, tags) }
        if !aliases.isEmpty { writer.texts(6, aliases) }
        writer.u64(7, expires)
        writer.text(8, ring)
        writer.u32(9, rotationMonths)
        writer.u32(10, dualControl?.rawValue)
        writer.mark(11, withoutPolicies)
        if let payload { writer.bytes(12, source.part(payload)) }
        writer.id(13, importToken)
        writer.bytes(14, encryptedPayload)
        writer.bytes(15, proof)
        writer.u32(16, bits)
        writer.bytes(17, nonce)
        writer.u8(18, suite?.rawValue)
        writer.id(19, keyID)
    }
}

/// A request to rotate a key.
public struct KeyRotateRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.keyRotateRequest }
    /// The key, by id, alias or name.
    public var key: KeyReference
    /// The operation's id, made by the client.
    public var operation: OperationID
    /// Why this is an emergency: the least interval between rotations is not waited for.
    public var reason: String?
    /// The new version's secret (standard key), or its material of 16, 24 or 32 bytes (imported root key).
    public var payload: ByteRange?
    /// The import token under whose key the material comes encrypted.
    public var importToken: ImportTokenID?
    /// The material, encrypted with RSA-OAEP for the import token.
    public var encryptedPayload: [UInt8]?
    /// The nonce, encrypted with AES-GCM under the material: IV, ciphertext and tag.
    public var proof: [UInt8]?
    /// The material's size: 128, 192 or 256.
    public var bits: UInt32?
    /// The nonce that was taken with the import token.
    public var nonce: [UInt8]?

    /// A request for a version that the daemon makes; the rest is filled in by who makes it.
    public init(key: KeyReference, operation: OperationID) {
        self.key = key
        self.operation = operation
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.reference(1, bytes) ?? KeyReference("")
        operation = fields.id(2, bytes) ?? .zero
        reason = fields.text(3, bytes)
        payload = fields.range(4)
        importToken = fields.id(5, bytes)
        encryptedPayload = fields.bytes(6, bytes)
        proof = fields.bytes(7, bytes)
        bits = fields.u32(8, bytes)
        nonce = fields.bytes(9, bytes)
        try KeyText.check(bits: bits)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, key.description)
        writer.id(2, operation)
        writer.text(3, reason)
        if let payload { writer.bytes(4, source.part(payload)) }
        writer.id(5, importToken)
        writer.bytes(6, encryptedPayload)
        writer.bytes(7, proof)
        writer.u32(8, bits)
        writer.bytes(9, nonce)
    }
}
