// The fields of aliases, rings and registrations.
extension Schema {
    /// The body of a request of alias-create.
    public static let aliasCreateRequest: [FieldEntry] = [
        key(1),
        operation(2),
        FieldEntry(3, "alias", .word(Limits.minimumName...Limits.maximumName), sizeRefusal: .invalidName, "The alias."),
    ]

    /// The body of a request of alias-delete.
    public static let aliasDeleteRequest: [FieldEntry] = [
        FieldEntry(1, "alias", .word(Limits.minimumName...Limits.maximumName), sizeRefusal: .invalidName, "The alias."),
        operation(2),
    ]

    /// One key ring.
    public static let ringRecord: [FieldEntry] = [
        FieldEntry(1, "id", anyMessage, "The ring's id."),
        FieldEntry(2, "created-ms", .u64, "When it was created."),
        FieldEntry(3, "created-by", anyMessage, "Who created it."),
        FieldEntry(4, "keys", anyU32, "How many keys it holds, destroyed ones included."),
    ]

    /// The body of a request of ring-create.
    public static let ringCreateRequest: [FieldEntry] = [
        FieldEntry(1, "id", .word(Limits.minimumRing...Limits.maximumRing), sizeRefusal: .invalidName, "The new ring's id."),
        operation(2),
    ]

    /// The body of a request for a page of a list that takes no more fields.
    public static let pageRequest: [FieldEntry] = [
        FieldEntry(1, "limit", pageLimit, required: false, "How many at most; \(Limits.defaultPage) when absent."),
        FieldEntry(2, "cursor", cursorBytes, required: false, "`next` of the page before; absent for the first."),
    ]

    /// The body of the reply to ring-list.
    public static let ringListReply: [FieldEntry] = [
        FieldEntry(1, "rings", .list(0...Limits.maximumPage, ringRecord), "The rings, by id."),
        FieldEntry(2, "next", cursorBytes, required: false, "Where the next page begins; absent on the last."),
    ]

    /// The body of a request of ring-delete.
    public static let ringDeleteRequest: [FieldEntry] = [
        FieldEntry(1, "id", .word(Limits.minimumRing...Limits.maximumRing), sizeRefusal: .invalidName, "The ring's id."),
        operation(2),
        FieldEntry(3, "force", mark, required: false, "1: destroyed keys that it still holds move to `default`."),
    ]

    /// The body of the reply to ring-delete.
    public static let ringDeleteReply: [FieldEntry] = [
        FieldEntry(1, "moved", anyU32, "How many destroyed keys moved to `default`.")
    ]

    /// One registration.
    public static let registrationRecord: [FieldEntry] = [
        FieldEntry(1, "key", .id, "The key's id."),
        FieldEntry(2, "resource", anyMessage, "The resource's name, as its owner calls it."),
        FieldEntry(3, "description", anyMessage, required: false, "What it is."),
        FieldEntry(4, "retention", flag, "1 when it forbids deleting the key, force or not."),
        FieldEntry(
            5, "lease-ends-ms", .u64, required: false, "When the registration ends by itself; absent: when it is released."),
        FieldEntry(6, "version", anyVersion, "The key version that the resource was last protected with."),
        FieldEntry(7, "created-ms", .u64, "When it was registered."),
        FieldEntry(8, "created-by", anyMessage, "Who registered it."),
        FieldEntry(9, "owner-uid", anyU32, "The uid that may change it."),
        FieldEntry(10, "updated-ms", .u64, "When it was last changed."),
        FieldEntry(11, "revision", .u64, "Rises with every change."),
    ]

    /// The body of a request of registration-set.
    public static let registrationSetRequest: [FieldEntry] = [
        key(1),
        operation(2),
        FieldEntry(3, "resource", .text(1...Limits.maximumResource), "The resource's name."),
        FieldEntry(4, "description", .text(0...Limits.maximumDescription), required: false, "What it is; empty removes it."),
        FieldEntry(5, "retention", flag, required: false, "1: the key cannot be deleted while this is registered."),
        FieldEntry(
            6, "lease-ms", .u64, required: false,
            "For how long it is registered, in milliseconds from now; 0 for until it is released."),
        FieldEntry(7, "version", anyVersion, required: false, "The key version that it is protected with; absent: the newest."),
        FieldEntry(
            8, "revision", .u64, required: false,
            "The record's revision that the change is meant for; 0: only if there is none yet."),
    ]

    /// The body of a request of registration-release.
    public static let registrationReleaseRequest: [FieldEntry] = [
        key(1),
        operation(2),
        FieldEntry(3, "resource", .text(1...Limits.maximumResource), "The resource's name."),
    ]

    /// The body of a request of registration-list.
    public static let registrationListRequest: [FieldEntry] = [
        FieldEntry(1, "key", keyText, required: false, "Only those of this key."),
        FieldEntry(2, "limit", pageLimit, required: false, "How many at most; \(Limits.defaultPage) when absent."),
        FieldEntry(3, "cursor", cursorBytes, required: false, "`next` of the page before; absent for the first."),
        FieldEntry(
            4, "resource-pattern", .text(1...Limits.maximumResource), required: false,
            "Only resources of this name; `*` stands for any characters."),
        FieldEntry(5, "retention", flag, required: false, "Only those with (1) or without (0) retention."),
    ]

    /// The body of the reply to registration-list.
    public static let registrationListReply: [FieldEntry] = [
        FieldEntry(1, "registrations", .list(0...Limits.maximumPage, registrationRecord), "By key and resource."),
        FieldEntry(2, "next", cursorBytes, required: false, "Where the next page begins; absent on the last."),
    ]
}
