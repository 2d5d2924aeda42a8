// The fields of the audit log's messages.
extension Schema {
    private static let hash = FieldKind.bytes(32...32)

    /// The body of the reply to audit-status.
    public static let auditStatusReply: [FieldEntry] = [
        FieldEntry(1, "directory", anyMessage, "Where its files are."),
        FieldEntry(2, "durability", anyMessage, "When a record of key use counts as kept: fsync, buffered or off."),
        FieldEntry(3, "failure", anyMessage, required: false, "Why no records are taken; absent while they are."),
        FieldEntry(4, "warning", anyMessage, required: false, "What was found wrong with the log."),
        FieldEntry(5, "sequence", .u64, "The newest record's number."),
        FieldEntry(6, "segment", anyMessage, required: false, "The file that is written."),
        FieldEntry(7, "segment-bytes", .u64, "Its size."),
        FieldEntry(8, "sealed-sequence", .u64, required: false, "The record that the newest checkpoint of this run seals."),
        FieldEntry(9, "sealed-ms", .u64, required: false, "When it was signed."),
        FieldEntry(10, "unsealed", .u64, "How many records no checkpoint seals yet."),
        FieldEntry(11, "seal-failure", anyMessage, required: false, "Why the newest checkpoint could not be made."),
        FieldEntry(12, "outbox", anyU32, "How many records of changes wait in the database."),
        FieldEntry(13, "collector", anyMessage, required: false, "The socket that records are sent to as well."),
        FieldEntry(14, "collector-lag", .u64, required: false, "How many records it has not been sent yet."),
        FieldEntry(15, "collector-failure", anyMessage, required: false, "Why it is not sent any now."),
    ]

    /// The body of the reply to audit-key.
    public static let auditKeyReply: [FieldEntry] = [
        FieldEntry(1, "key", .bytes(1...1_024), "The public key, SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7).")
    ]

    /// The body of the reply to audit-head.
    public static let auditHeadReply: [FieldEntry] = [
        FieldEntry(1, "instance", .id, "Whose log it is."),
        FieldEntry(2, "sequence", .u64, "The newest record's number."),
        FieldEntry(3, "hash", hash, "The SHA-256 of its line."),
        FieldEntry(4, "time-ms", .u64, "When this was signed."),
        FieldEntry(
            5, "signature", .bytes(64...384),
            "ECDSA with P-256, r || s, or RSASSA-PKCS1-v1_5 with 3,072 bits; Audit in the documentation says over what."),
    ]

    /// The body of the reply to audit-rotate.
    public static let auditRotateReply: [FieldEntry] = [
        FieldEntry(1, "segment", anyMessage, "The name of the file that is written from now on.")
    ]
}
