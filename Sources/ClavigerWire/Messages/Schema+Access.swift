// Who may do what: grants, roles, and questions about them.
extension Schema {
    private static let word = FieldKind.text(1...Limits.maximumRoleName)
    private static let subject = FieldKind.text(1...Limits.maximumSubject)
    // Texts, and as many as may come: a newer daemon may know more than `Permission`.
    private static let permissions = FieldKind.texts(0...Limits.maximumPermissions, 1...Limits.maximumRoleName)
    private static let message = FieldKind.text(0...Limits.maximumMessage)

    /// One grant.
    public static let grant: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The grant's id: that of the operation that made it."),
        FieldEntry(
            2, "subject", subject, "Who: `user:NAME`, `group:NAME`, `unit:NAME.service`; with commas between, all must hold."),
        FieldEntry(3, "role", word, "The role's name."),
        FieldEntry(4, "scope", subject, "Where: `instance`, `ring:NAME` or `key:ID`."),
        FieldEntry(5, "created-ms", .u64, "When it was made, in milliseconds since 1970-01-01T00:00:00Z."),
        FieldEntry(6, "created-by", message, "Who made it."),
        FieldEntry(7, "expires-ms", .u64, required: false, "When it ends; absent: never."),
        FieldEntry(
            8, "context", .context, required: false,
            "The strings that an envelope's context must begin with; absent: any context, and more than wrap, unwrap and rewrap."),
        FieldEntry(9, "uid", .u32(0...UInt32.max), required: false, "The number to which the user is pinned."),
        FieldEntry(10, "gid", .u32(0...UInt32.max), required: false, "The number to which the group is pinned."),
        FieldEntry(
            11, "trouble", message, required: false,
            "Why the grant is good for nobody now: it has expired, or its account was made anew; absent when it is good."),
    ]

    /// The body of an access-grant request.
    public static let accessGrantRequest: [FieldEntry] = [
        FieldEntry(
            1, "subject", subject, "Who: `user:NAME`, `group:NAME`, `unit:NAME.service`; with commas between, all must hold."),
        FieldEntry(2, "operation", .id, "The operation's id, made by the client; it becomes the grant's."),
        FieldEntry(3, "role", word, "The role's name."),
        FieldEntry(4, "scope", subject, "Where: `instance`, `ring:NAME` or `key:` and a key's id, alias or name."),
        FieldEntry(5, "expires-ms", .u64, required: false, "When it ends, in milliseconds since 1970-01-01T00:00:00Z."),
        FieldEntry(
            6, "context", .context, required: false, "The strings that an envelope's context must begin with; see the grant."),
    ]

    /// The body of an access-revoke request.
    public static let accessRevokeRequest: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The grant's id."),
        FieldEntry(2, "operation", .id, "The operation's id, made by the client."),
    ]

    /// The body of an access-list request.
    public static let accessListRequest: [FieldEntry] = [
        FieldEntry(
            1, "limit", .u32(1...UInt32(Limits.maximumPage)), required: false,
            "How many at most; \(Limits.defaultPage) when absent."),
        FieldEntry(2, "after", .id, required: false, "The last grant of the page before; absent for the first."),
        FieldEntry(3, "subject", subject, required: false, "Only grants of this subject, as it is written."),
    ]

    /// The body of the reply to access-list.
    public static let accessListReply: [FieldEntry] = [
        FieldEntry(1, "grants", .list(0...Limits.maximumPage, grant), "The grants, oldest first."),
        FieldEntry(2, "more", .u8(0...1), "1 when others follow."),
    ]

    /// One role.
    public static let role: [FieldEntry] = [
        FieldEntry(1, "name", word, "The role's name."),
        FieldEntry(2, "summary", message, "What it is for."),
        FieldEntry(3, "built-in", .u8(0...1), "1 when it comes with the daemon and cannot be removed."),
        FieldEntry(4, "permissions", permissions, "What it allows, by name."),
    ]

    /// The body of the reply to access-roles.
    public static let accessRolesReply: [FieldEntry] = [
        FieldEntry(
            1, "roles", .list(0...Limits.maximumRoles, role), "The roles: those that come with the daemon, then by name.")
    ]

    /// The body of a role-create request.
    public static let roleCreateRequest: [FieldEntry] = [
        FieldEntry(
            1, "name", .word(Limits.minimumName...Limits.maximumRoleName), sizeRefusal: .invalidName,
            "The new role's name: letters, digits, '-' and '_'."),
        FieldEntry(2, "operation", .id, "The operation's id, made by the client."),
        FieldEntry(
            3, "permissions", .texts(1...Limits.maximumPermissions, 1...Limits.maximumRoleName), "What it allows, by name."),
        FieldEntry(4, "summary", message, required: false, "What it is for."),
    ]

    /// The body of a role-delete request.
    public static let roleDeleteRequest: [FieldEntry] = [FieldEntry(1, "name", word, "The role's name.")]

    /// The body of an access-explain request.
    public static let accessExplainRequest: [FieldEntry] = [
        FieldEntry(
            1, "subject", subject,
            "As whom: `user:NAME` (with all its groups), `group:NAME`, `unit:NAME.service`, with commas between."),
        FieldEntry(2, "action", word, "What: an operation or a permission, by name."),
        FieldEntry(
            3, "target", subject, required: false,
            "With what: a key's id, alias or name (`key:NAME` where it could mean something else), `ring:NAME`, or `instance`; absent: anything."
        ),
        FieldEntry(4, "context", .context, required: false, "The envelope's context; absent: any."),
    ]

    /// The body of the reply to access-explain.
    public static let accessExplainReply: [FieldEntry] = [
        FieldEntry(1, "allowed", .u8(0...1), "1 when it would be allowed now."),
        FieldEntry(2, "decided-by", message, "The rule or grant that decided."),
        FieldEntry(
            3, "details", .texts(0...Limits.maximumExplanation, 0...Limits.maximumMessage),
            "What each grant that comes near lacks, and what would change the answer."),
    ]
}
