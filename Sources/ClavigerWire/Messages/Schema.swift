/// The fields of every message, by ascending tag: what decoding checks and the protocol page lists.
public enum Schema {
    // What several messages hold. A flag is 0 or 1; a mark is there, as 1, or is left out.
    static let anyMessage = FieldKind.text(0...Limits.maximumMessage)
    static let flag = FieldKind.u8(0...1)
    static let mark = FieldKind.u8(1...1)
    static let anyU32 = FieldKind.u32(0...UInt32.max)
    static let keyText = FieldKind.text(1...Limits.maximumName)
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
        FieldEntry(
            4, "sealed", mark, required: false,
            "1: make the DEK inside the token and return its envelope only; the key must wrap by AES key wrap."),
    ]

    /// The body of a wrap request.
    public static let wrapRequest: [FieldEntry] = [
        FieldEntry(1, "key", keyText, "The key, by id, alias or name."),
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
        FieldEntry(6, "keys", anyU32, "How many keys it holds that the caller may see."),
        FieldEntry(7, "workers", anyU32, "How many workers it has."),
        FieldEntry(8, "connections", anyU32, "How many connections are open."),
        FieldEntry(9, "requests", .u64, "How many requests it has answered since its start."),
        FieldEntry(10, "queued", anyU32, "How many requests wait for a worker."),
        FieldEntry(11, "quarantined", anyU32, "How many objects on the token carry our instance id but have no record."),
        FieldEntry(
            0x8101, "anchored", flag, required: false,
            "1 when the token remembers which database is the newest, so that an older one put back is refused."),
        FieldEntry(
            0x8102, "damaged-files", anyU32, required: false,
            "How many files in the token's storage are not whole, where it keeps its objects in files. While key versions are unusable, "
                + "they may be in them."),
    ]

    /// The body of the reply to metrics.
    public static let metricsReply: [FieldEntry] = [
        FieldEntry(
            1, "text", .text(0...Limits.maximumMetrics),
            "OpenMetrics 1.0 text. New families may come; none is renamed within version 1.")
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
            6, "permissions", .list(0...Limits.maximumPermissions, permission), "What it may do, somewhere."),
        FieldEntry(
            0x8001, "proven", flag, required: false,
            "1 when the kernel proved which process connected (pidfd); 0 when a reused pid could have stood in."),
        FieldEntry(
            0x8002, "foreign", flag, required: false,
            "1 when it lives in a user or pid namespace other than the daemon's: no grant is for it then."),
        FieldEntry(
            0x8003, "grants", .texts(0...Limits.maximumOwnGrants, 0...Limits.maximumMessage), required: false,
            "The grants that it has, a line each."),
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

    // MARK: refusals

    /// The body of every refusal.
    public static let refusal: [FieldEntry] = [
        FieldEntry(1, "message", anyMessage, "For people."),
        FieldEntry(2, "retry-after-ms", anyU32, required: false, "How long to wait before trying again."),
    ]
}
