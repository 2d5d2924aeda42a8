// The fields of import tokens.
extension Schema {
    /// One import token.
    public static let importTokenRecord: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The import token's id."),
        FieldEntry(2, "created-ms", .u64, "When it was created."),
        FieldEntry(3, "expires-ms", .u64, "When it ends."),
        FieldEntry(4, "uses", anyU32, "How often it may be taken."),
        FieldEntry(5, "used", anyU32, "How often it was taken."),
        FieldEntry(6, "state", .u8(0...1), "0 open, 1 ended."),
        FieldEntry(7, "oaep", .u8(1...2), "The digest of OAEP: 1 SHA-1, 2 SHA-256."),
        FieldEntry(8, "created-by", anyMessage, "Who created it."),
    ]

    /// The body of a request of import-token-create.
    public static let importTokenCreateRequest: [FieldEntry] = [
        FieldEntry(
            1, "ttl", .u32(Limits.minimumImportTokenLife...Limits.maximumImportTokenLife), required: false,
            "For how many seconds; \(Limits.defaultImportTokenLife) when absent."),
        operation(2),
        FieldEntry(
            3, "uses", .u32(1...Limits.maximumImportTokenUses), required: false, "How often it may be taken; once when absent."),
    ]

    /// The body of a request of import-token-take and import-token-delete.
    public static let importTokenRequest: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The import token's id."),
        operation(2),
    ]

    /// The body of the reply to import-token-take.
    public static let importTokenTakeReply: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The import token's id."),
        FieldEntry(2, "public-key", .bytes(1...Limits.maximumPublicKey), "The RSA public key: SubjectPublicKeyInfo, DER."),
        FieldEntry(3, "nonce", .bytes(Limits.nonceLength...Limits.nonceLength), "Good for one import."),
        FieldEntry(4, "oaep", .u8(1...2), "The digest of OAEP: 1 SHA-1, 2 SHA-256."),
        FieldEntry(5, "remaining", anyU32, "How often it may still be taken."),
        FieldEntry(6, "expires-ms", .u64, "When it ends."),
    ]

    /// The body of the reply to import-token-list.
    public static let importTokenListReply: [FieldEntry] = [
        FieldEntry(1, "tokens", .list(0...Limits.maximumPage, importTokenRecord), "By creation time."),
        FieldEntry(2, "next", cursorBytes, required: false, "Where the next page begins; absent on the last."),
    ]
}
