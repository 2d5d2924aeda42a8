/// What the daemon can do now.
public enum DaemonState: UInt8, CaseIterable, Sendable {
    /// All is well.
    case ready = 1
    /// It serves, but something needs to be looked at.
    case degraded = 2
    /// The token does not answer; the daemon tries to get it back by itself.
    case lost = 3
    /// It cannot go on without somebody's help.
    case needsOperator = 4
    /// It has no PIN yet.
    case sealed = 5

    /// The word for people and for `--json`.
    public var name: String {
        switch self {
        case .ready: "ready"
        case .degraded: "degraded"
        case .lost: "lost"
        case .needsOperator: "needs-operator"
        case .sealed: "sealed"
        }
    }

    /// Whether key operations are served.
    public var serves: Bool {
        switch self {
        case .ready, .degraded: true
        case .lost, .needsOperator, .sealed: false
        }
    }
}

/// The reply to health and unlock.
public struct HealthReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.healthReply }
    /// The daemon's state.
    public var state: DaemonState
    /// Why it is not ready, for people; empty when it is.
    public var reason: String

    /// A reply of these values.
    public init(state: DaemonState, reason: String = "") {
        self.state = state
        self.reason = reason
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        state = DaemonState(rawValue: fields.u8(1, bytes) ?? 0) ?? .needsOperator
        reason = fields.text(2, bytes) ?? ""
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u8(1, state.rawValue)
        writer.text(2, reason)
    }
}

/// The reply to status.
public struct StatusReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.statusReply }
    /// The daemon's state and why.
    public var health: HealthReply
    /// The daemon's version.
    public var version = ""
    /// The instance, once it is known.
    public var instance: InstanceID?
    /// Milliseconds since the start.
    public var uptime: UInt64 = 0
    /// How many keys there are, of those that the caller may see.
    public var keys: UInt32 = 0
    /// How many workers there are.
    public var workers: UInt32 = 0
    /// How many connections are open.
    public var connections: UInt32 = 0
    /// How many requests were answered since the start.
    public var requests: UInt64 = 0
    /// How many requests wait for a worker.
    public var queued: UInt32 = 0
    /// How many objects on the token are ours but have no record.
    public var quarantined: UInt32 = 0
    /// Whether the token remembers which database is the newest; nil from a daemon that does not say, or does not know yet.
    public var isAnchored: Bool?
    /// How many files in the token's storage are not whole; nil from a daemon that does not say, or a token that keeps no such files.
    public var damagedFiles: UInt32?

    /// A reply of this health; the rest is filled in by who makes it.
    public init(health: HealthReply) { self.health = health }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        health = try HealthReply(fields, bytes)
        version = fields.text(3, bytes) ?? ""
        instance = fields.id(4, bytes)
        uptime = fields.u64(5, bytes) ?? 0
        keys = fields.u32(6, bytes) ?? 0
        workers = fields.u32(7, bytes) ?? 0
        connections = fields.u32(8, bytes) ?? 0
        requests = fields.u64(9, bytes) ?? 0
        queued = fields.u32(10, bytes) ?? 0
        quarantined = fields.u32(11, bytes) ?? 0
        isAnchored = fields.flag(0x8101, bytes)
        damagedFiles = fields.u32(0x8102, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        health.encode(to: &writer, source: source)
        writer.text(3, version)
        if let instance { writer.id(4, instance) }
        writer.u64(5, uptime)
        writer.u32(6, keys)
        writer.u32(7, workers)
        writer.u32(8, connections)
        writer.u64(9, requests)
        writer.u32(10, queued)
        writer.u32(11, quarantined)
        writer.flag(0x8101, isAnchored)
        if let damagedFiles { writer.u32(0x8102, damagedFiles) }
    }
}

/// The reply to metrics.
public struct MetricsReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.metricsReply }
    /// OpenMetrics 1.0 text.
    public var text: String

    /// A reply of this text.
    public init(text: String) { self.text = text }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) { text = fields.text(1, bytes) ?? "" }

    public func encode(to writer: inout BodyWriter, source: RawSpan) { writer.text(1, text) }
}

/// One number or word of a list.
struct NumberItem: WireMessage {
    static var schema: [FieldEntry] { Schema.group }
    var number: UInt32
    init(_ number: UInt32) { self.number = number }
    init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) { number = fields.u32(1, bytes) ?? 0 }
    func encode(to writer: inout BodyWriter, source: RawSpan) { writer.u32(1, number) }
}

struct WordItem: WireMessage {
    static var schema: [FieldEntry] { Schema.permission }
    var word: String
    init(_ word: String) { self.word = word }
    init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) { word = fields.text(1, bytes) ?? "" }
    func encode(to writer: inout BodyWriter, source: RawSpan) { writer.text(1, word) }
}

/// The reply to whoami.
public struct WhoamiReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.whoamiReply }
    /// The peer's effective user id at connect.
    public var uid: UInt32
    /// Its group id.
    public var gid: UInt32
    /// Its process id, 0 when the daemon cannot see it.
    public var pid: UInt32
    /// Its supplementary groups.
    public var groups: [UInt32]
    /// Its systemd unit.
    public var unit: String?
    /// The names of what it may do: a newer daemon may know more than `Permission`.
    public var permissions: [String]
    /// Whether the kernel proved which process connected; nil from a daemon that does not say.
    public var isProven: Bool?
    /// Whether the peer lives in other namespaces than the daemon, so that no grant is for it; nil from a daemon that does not say.
    public var isForeign: Bool?
    /// The grants that it has, a line each.
    public var grants: [String]?

    /// A reply of these values.
    public init(
        uid: UInt32, gid: UInt32, pid: UInt32, groups: [UInt32], unit: String?, permissions: [String], isProven: Bool? = nil,
        isForeign: Bool? = nil, grants: [String]? = nil
    ) {
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.groups = groups
        self.unit = unit
        self.permissions = permissions
        self.isProven = isProven
        self.isForeign = isForeign
        self.grants = grants
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        uid = fields.u32(1, bytes) ?? 0
        gid = fields.u32(2, bytes) ?? 0
        pid = fields.u32(3, bytes) ?? 0
        groups = try fields.items(4, bytes, as: NumberItem.self).map(\.number)
        unit = fields.text(5, bytes)
        permissions = try fields.items(6, bytes, as: WordItem.self).map(\.word)
        isProven = fields.flag(0x8001, bytes)
        isForeign = fields.flag(0x8002, bytes)
        grants = fields.texts(0x8003, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u32(1, uid)
        writer.u32(2, gid)
        writer.u32(3, pid)
        writer.items(4, groups.map { NumberItem($0) }, source: source)
        if let unit { writer.text(5, unit) }
        writer.items(6, permissions.map { WordItem($0) }, source: source)
        writer.flag(0x8001, isProven)
        writer.flag(0x8002, isForeign)
        writer.texts(0x8003, grants)
    }
}

/// A request to unlock. The PIN stays where it lies.
public struct UnlockRequest: WireMessage {
    public static var schema: [FieldEntry] { Schema.unlockRequest }
    /// Where the PIN lies.
    public var pin: ByteRange

    /// A request with the PIN at this range.
    public init(pin: ByteRange) { self.pin = pin }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        pin = fields.range(1) ?? ByteRange(offset: 0, count: 0)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.bytes(1, source.part(pin))
    }
}

/// The body of a refusal.
public struct RefusalBody: WireMessage {
    public static var schema: [FieldEntry] { Schema.refusal }
    /// For people.
    public var message: String
    /// How long to wait before trying again, in milliseconds.
    public var retryAfter: UInt32?

    /// The body for `refusal`, whose code goes into the frame's header.
    public init(_ refusal: Refusal) {
        message = refusal.message
        retryAfter = refusal.retryAfter
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        message = fields.text(1, bytes) ?? ""
        retryAfter = fields.u32(2, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, message)
        if let retryAfter { writer.u32(2, retryAfter) }
    }
}
