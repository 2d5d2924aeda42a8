/// The reply to audit-status.
public struct AuditStatusReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.auditStatusReply }
    /// Where the log's files are.
    public var directory = ""
    /// When a record of key use counts as kept.
    public var durability = ""
    /// Why no records are taken; nil while they are.
    public var failure: String?
    /// What was found wrong with the log.
    public var warning: String?
    /// The newest record's number.
    public var sequence: UInt64 = 0
    /// The name of the file that is written.
    public var segment: String?
    /// Its size in bytes.
    public var segmentBytes: UInt64 = 0
    /// The record that the newest checkpoint of this run seals.
    public var sealedSequence: UInt64?
    /// When it was signed, in milliseconds since 1970.
    public var sealed: UInt64?
    /// How many records no checkpoint seals yet.
    public var unsealed: UInt64 = 0
    /// Why the newest checkpoint could not be made.
    public var sealFailure: String?
    /// How many records of changes wait in the database.
    public var outbox: UInt32 = 0
    /// The socket that records are sent to as well.
    public var collector: String?
    /// How many records it has not been sent yet.
    public var collectorLag: UInt64?
    /// Why it is not sent any now.
    public var collectorFailure: String?

    /// An empty reply, to be filled in.
    public init() {}

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        directory = fields.text(1, bytes) ?? ""
        durability = fields.text(2, bytes) ?? ""
        failure = fields.text(3, bytes)
        warning = fields.text(4, bytes)
        sequence = fields.u64(5, bytes) ?? 0
        segment = fields.text(6, bytes)
        segmentBytes = fields.u64(7, bytes) ?? 0
        sealedSequence = fields.u64(8, bytes)
        sealed = fields.u64(9, bytes)
        unsealed = fields.u64(10, bytes) ?? 0
        sealFailure = fields.text(11, bytes)
        outbox = fields.u32(12, bytes) ?? 0
        collector = fields.text(13, bytes)
        collectorLag = fields.u64(14, bytes)
        collectorFailure = fields.text(15, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, directory)
        writer.text(2, durability)
        if let failure { writer.text(3, failure) }
        if let warning { writer.text(4, warning) }
        writer.u64(5, sequence)
        if let segment { writer.text(6, segment) }
        writer.u64(7, segmentBytes)
        if let sealedSequence { writer.u64(8, sealedSequence) }
        if let sealed { writer.u64(9, sealed) }
        writer.u64(10, unsealed)
        if let sealFailure { writer.text(11, sealFailure) }
        writer.u32(12, outbox)
        if let collector { writer.text(13, collector) }
        if let collectorLag { writer.u64(14, collectorLag) }
        if let collectorFailure { writer.text(15, collectorFailure) }
    }
}

/// The reply to audit-key.
public struct AuditKeyReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.auditKeyReply }
    /// The public key: SubjectPublicKeyInfo in DER.
    public var key: [UInt8]

    /// A reply of this key.
    public init(key: [UInt8]) { self.key = key }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        key = fields.range(1).map { bytes.part($0).array() } ?? []
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) { writer.bytes(1, key) }
}

/// The reply to audit-head: a signed statement of where the log stands.
public struct AuditHeadReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.auditHeadReply }
    /// Whose log it is.
    public var instance: InstanceID
    /// The newest record's number.
    public var sequence: UInt64
    /// The SHA-256 of its line.
    public var hash: [UInt8]
    /// When it was signed, in milliseconds since 1970.
    public var time: UInt64
    /// The signature: r || s of P-256, or RSASSA-PKCS1-v1_5.
    public var signature: [UInt8]

    /// A reply of these values.
    public init(instance: InstanceID, sequence: UInt64, hash: [UInt8], time: UInt64, signature: [UInt8]) {
        self.instance = instance
        self.sequence = sequence
        self.hash = hash
        self.time = time
        self.signature = signature
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        instance = fields.id(1, bytes) ?? InstanceID(high: 0, low: 0)
        sequence = fields.u64(2, bytes) ?? 0
        hash = fields.range(3).map { bytes.part($0).array() } ?? []
        time = fields.u64(4, bytes) ?? 0
        signature = fields.range(5).map { bytes.part($0).array() } ?? []
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, instance)
        writer.u64(2, sequence)
        writer.bytes(3, hash)
        writer.u64(4, time)
        writer.bytes(5, signature)
    }
}

/// The reply to audit-rotate.
public struct AuditRotateReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.auditRotateReply }
    /// The name of the file that is written from now on.
    public var segment: String

    /// A reply of this name.
    public init(segment: String) { self.segment = segment }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) { segment = fields.text(1, bytes) ?? "" }

    public func encode(to writer: inout BodyWriter, source: RawSpan) { writer.text(1, segment) }
}
