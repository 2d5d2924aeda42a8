/// The fields of every message, by ascending tag: what decoding checks and the protocol page lists.
public enum Schema {
    private static let anyMessage = FieldKind.text(0...Limits.maximumMessage)
    private static let flag = FieldKind.u8(0...1)
    private static let anyU32 = FieldKind.u32(0...UInt32.max)
    private static let keyText = FieldKind.text(1...Limits.maximumName)
    private static let envelopeBytes = FieldKind.bytes(0...Envelope.maximumLength)

    // MARK: wrap, unwrap, rewrap

    /// One item of a wrap request: exactly one of `plaintext` and `generate`.
    public static let wrapItem: [FieldEntry] = [
        FieldEntry(
            1, "plaintext", .bytes(Limits.minimumPlaintext...Limits.maximumPlaintext), required: false,
            sizeRefusal: .plaintextSize, "The DEK to wrap."),
        FieldEntry(
            2, "generate", .u32(UInt32(Limits.minimumGenerated)...UInt32(Limits.maximumGenerated)), required: false,
            "Have the token make a DEK of so many bytes, and return it."),
        FieldEntry(3, "context", .context, required: false, "What the envelope is bound to; absent is the empty list."),
    ]

    /// The body of a wrap request.
    public static let wrapRequest: [FieldEntry] = [
        FieldEntry(1, "key", keyText, "The key, by id or name."),
        FieldEntry(2, "items", .list(1...Limits.maximumItems, wrapItem), sizeRefusal: .itemCount, "What to wrap."),
    ]

    /// One item of an unwrap or rewrap request.
    ///
    /// The length bounds of `envelope` are wide on purpose: bytes that are no envelope fail their item, not the whole batch.
    public static let openItem: [FieldEntry] = [
        FieldEntry(
            1, "envelope", .bytes(0...Limits.maximumBodyLength), "The envelope's bytes (not its text form)."),
        FieldEntry(2, "context", .context, required: false, "The context it was wrapped with; absent is the empty list."),
    ]

    /// The body of an unwrap request.
    public static let unwrapRequest: [FieldEntry] = [
        FieldEntry(
            1, "key", keyText, required: false,
            "The key that every envelope must have been made by; an envelope names its key itself."),
        FieldEntry(2, "items", .list(1...Limits.maximumItems, openItem), sizeRefusal: .itemCount, "What to open."),
        FieldEntry(
            3, "refresh", flag, required: false,
            "1: return a new envelope for each stale one, where the caller may also wrap."),
    ]

    /// The body of a rewrap request.
    public static let rewrapRequest: [FieldEntry] = [
        FieldEntry(1, "key", keyText, required: false, "The key that every envelope must have been made by."),
        FieldEntry(2, "items", .list(1...Limits.maximumItems, openItem), sizeRefusal: .itemCount, "What to make anew."),
    ]

    /// One item of the reply to wrap, unwrap and rewrap.
    public static let cipherItem: [FieldEntry] = [
        FieldEntry(1, "code", anyU32, "0, or the refusal code of this item; then only `message` follows."),
        FieldEntry(2, "message", anyMessage, required: false, "For people, when the item was refused."),
        FieldEntry(3, "key", .id, required: false, "The key's id."),
        FieldEntry(
            4, "version", .u32(Limits.firstVersion...UInt32.max), required: false,
            "The key version: of the envelope given (unwrap, rewrap), of the one made (wrap)."),
        FieldEntry(
            5, "envelope", envelopeBytes, required: false,
            "The envelope made: always by wrap and rewrap, by unwrap when it refreshed a stale one."),
        FieldEntry(
            6, "envelope-version", .u32(Limits.firstVersion...UInt32.max), required: false,
            "The key version of the envelope made, when it is not that of field 4."),
        FieldEntry(
            7, "plaintext", .bytes(0...Limits.maximumPlaintext), required: false,
            "The DEK: opened by unwrap, made by wrap when asked to generate. Never in a reply to rewrap."),
        FieldEntry(
            8, "stale", flag, required: false, "Unwrap: 1 when the key has a newer version than the envelope's."),
    ]

    /// The body of the reply to wrap, unwrap and rewrap.
    public static let cipherReply: [FieldEntry] = [
        FieldEntry(
            1, "items", .list(1...Limits.maximumItems, cipherItem), sizeRefusal: .itemCount,
            "One item for each of the request, in its order.")
    ]

    // MARK: the daemon

    /// The states of the daemon.
    private static let daemonState = FieldKind.u8(1...5)

    /// The body of the reply to health.
    public static let healthReply: [FieldEntry] = [
        FieldEntry(1, "state", daemonState, "1 ready, 2 degraded, 3 lost, 4 needs-operator, 5 sealed."),
        FieldEntry(2, "reason", anyMessage, "Why it is not ready, for people; empty when it is."),
    ]

    /// The body of the reply to status.
    public static let statusReply: [FieldEntry] = [
        FieldEntry(1, "state", daemonState, "As in health."),
        FieldEntry(2, "reason", anyMessage, "As in health."),
        FieldEntry(3, "version", anyMessage, "The daemon's version."),
        FieldEntry(4, "instance", .id, required: false, "The instance's id, once it is known."),
        FieldEntry(5, "uptime-ms", .u64, "Since when it runs, in milliseconds."),
        FieldEntry(6, "keys", anyU32, "How many keys it holds."),
        FieldEntry(7, "workers", anyU32, "How many workers it has."),
        FieldEntry(8, "connections", anyU32, "How many connections are open."),
        FieldEntry(9, "requests", .u64, "How many requests it has answered since its start."),
        FieldEntry(10, "queued", anyU32, "How many requests wait for a worker."),
        FieldEntry(11, "quarantined", anyU32, "How many objects on the token carry our instance id but have no record."),
    ]

    /// One supplementary group.
    static let group: [FieldEntry] = [FieldEntry(1, "gid", anyU32, "A supplementary group's id.")]

    /// One permission. A text, and as many as may come: a newer daemon may know more than `Permission`.
    static let permission: [FieldEntry] = [FieldEntry(1, "name", anyMessage, "A permission's name.")]

    /// The body of the reply to whoami.
    public static let whoamiReply: [FieldEntry] = [
        FieldEntry(1, "uid", anyU32, "The peer's effective user id at connect."),
        FieldEntry(2, "gid", anyU32, "Its group id."),
        FieldEntry(3, "pid", anyU32, "Its process id; 0 when it lives in a process namespace that the daemon cannot see."),
        FieldEntry(
            4, "groups", .list(0...Limits.maximumGroups, group), "Its supplementary groups."),
        FieldEntry(5, "unit", anyMessage, required: false, "Its systemd unit."),
        FieldEntry(
            6, "permissions", .list(0...Limits.maximumPermissions, permission), "What it may do."),
    ]

    /// The body of an unlock request.
    public static let unlockRequest: [FieldEntry] = [
        FieldEntry(1, "pin", .bytes(1...Limits.maximumPIN), "The token's user PIN.")
    ]

    /// The body of the reply to unlock.
    public static let unlockReply: [FieldEntry] = healthReply

    /// One mechanism.
    static let mechanism: [FieldEntry] = [
        FieldEntry(1, "name", anyMessage, "The mechanism's name."),
        FieldEntry(2, "present", flag, "1 when the token has it."),
        FieldEntry(3, "use", anyMessage, "What Claviger uses it for."),
    ]

    /// The body of the reply to token-status.
    public static let tokenStatusReply: [FieldEntry] = [
        FieldEntry(1, "module", anyMessage, "The module's absolute path."),
        FieldEntry(2, "library", anyMessage, "The module's manufacturer, description and version."),
        FieldEntry(3, "slot", .u64, "The slot's id, which may change from start to start."),
        FieldEntry(4, "label", anyMessage, "The token's label."),
        FieldEntry(5, "manufacturer", anyMessage, "The token's manufacturer."),
        FieldEntry(6, "model", anyMessage, "The token's model."),
        FieldEntry(7, "serial", anyMessage, "The token's serial number, to which the instance is bound."),
        FieldEntry(8, "logged-in", flag, "1 when the user is logged in."),
        FieldEntry(9, "flags", .u64, "The token's flags, CK_TOKEN_INFO.flags, as they are."),
        FieldEntry(10, "sessions", .u64, required: false, "Open sessions, where the token tells."),
        FieldEntry(11, "maximum-sessions", .u64, required: false, "The token's bound on sessions, where it has one."),
        FieldEntry(
            12, "mechanisms", .list(0...Limits.maximumMechanisms, mechanism), "The mechanisms that matter."),
    ]

    // MARK: keys

    /// One key.
    public static let key: [FieldEntry] = [
        FieldEntry(1, "id", .id, "The key's id."),
        FieldEntry(2, "name", anyMessage, "Its name."),
        FieldEntry(3, "state", .u8(1...5), "1 active, 2 suspended, 3 deactivated, 5 destroyed."),
        FieldEntry(4, "created-ms", .u64, "When it was created, in milliseconds since 1970-01-01T00:00:00Z."),
        FieldEntry(5, "version", .u32(Limits.firstVersion...UInt32.max), "Its newest version, under which it wraps."),
        FieldEntry(6, "version-created-ms", .u64, "When that version was made."),
        FieldEntry(7, "suite", .u8(1...3), "The suite of that version."),
    ]

    /// The body of the reply to key-create, key-show and key-rotate.
    public static let keyReply: [FieldEntry] = key

    /// The body of a key-create request.
    public static let keyCreateRequest: [FieldEntry] = [
        FieldEntry(
            1, "name", .text(Limits.minimumName...Limits.maximumName), sizeRefusal: .invalidName, "The new key's name."),
        FieldEntry(2, "operation", .id, "The operation's id, made by the client."),
    ]

    /// The body of a key-list request.
    public static let keyListRequest: [FieldEntry] = [
        FieldEntry(
            1, "limit", .u32(1...UInt32(Limits.maximumPage)), required: false,
            "How many at most; \(Limits.defaultPage) when absent."),
        FieldEntry(
            2, "cursor", .bytes(Limits.cursorLength...Limits.cursorLength), required: false,
            "`next` of the page before; absent for the first."),
    ]

    /// The body of the reply to key-list.
    public static let keyListReply: [FieldEntry] = [
        FieldEntry(1, "keys", .list(0...Limits.maximumPage, key), "The keys."),
        FieldEntry(
            2, "next", .bytes(Limits.cursorLength...Limits.cursorLength), required: false,
            "Where the next page begins; absent on the last."),
    ]

    /// The body of a key-show request.
    public static let keyShowRequest: [FieldEntry] = [
        FieldEntry(1, "key", keyText, "The key, by id or name.")
    ]

    /// One version of a key.
    public static let version: [FieldEntry] = [
        FieldEntry(1, "version", .u32(Limits.firstVersion...UInt32.max), "Its number."),
        FieldEntry(2, "created-ms", .u64, "When it was made."),
        FieldEntry(3, "suite", .u8(1...3), "Its suite."),
        FieldEntry(4, "current", flag, "1 when it is the one that wraps."),
        FieldEntry(
            5, "wraps", .u64, "A bound on how often it has encrypted; counted in blocks, so that no crash lowers it."),
        FieldEntry(6, "usable", flag, "1 when its object on the token answers as it did when it was made."),
    ]

    /// The body of a key-versions request.
    public static let keyVersionsRequest: [FieldEntry] = [
        FieldEntry(1, "key", keyText, "The key, by id or name."),
        FieldEntry(
            2, "limit", .u32(1...UInt32(Limits.maximumPage)), required: false,
            "How many at most; \(Limits.defaultPage) when absent."),
        FieldEntry(
            3, "before", .u32(Limits.firstVersion...UInt32.max), required: false,
            "Only versions older than this; absent for the newest."),
    ]

    /// The body of the reply to key-versions.
    public static let keyVersionsReply: [FieldEntry] = [
        FieldEntry(1, "key", .id, "The key's id."),
        FieldEntry(2, "versions", .list(0...Limits.maximumPage, version), "Newest first."),
        FieldEntry(3, "more", flag, "1 when older versions follow."),
    ]

    /// The body of a key-rotate request.
    public static let keyRotateRequest: [FieldEntry] = [
        FieldEntry(1, "key", keyText, "The key, by id or name."),
        FieldEntry(2, "operation", .id, "The operation's id, made by the client."),
    ]

    // MARK: refusals

    /// The body of every refusal.
    public static let refusal: [FieldEntry] = [
        FieldEntry(1, "message", anyMessage, "For people."),
        FieldEntry(2, "retry-after-ms", anyU32, required: false, "How long to wait before trying again."),
    ]
}
