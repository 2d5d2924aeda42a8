/// One version of a key, as shown to callers; the reply to version-retire and version-destroy.
public struct VersionRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.version }
    /// Its number.
    public var version: UInt32
    /// When it was made, in milliseconds since 1970.
    public var created: UInt64
    /// Its suite.
    public var suite: Suite
    /// Whether it is the one that wraps.
    public var isCurrent: Bool
    /// A bound on how often it has encrypted; counted in blocks, so that no crash lowers it.
    public var wraps: UInt64
    /// Whether its object on the token answers as it did when it was made.
    public var isUsable: Bool
    /// Its state; nil: in use.
    public var state: VersionState?
    /// The size of its material; nil for a standard key.
    public var bits: UInt32?
    /// Whether its material was imported.
    public var isImported = false
    /// Why it was made, when there was a reason: `policy`, `wrap-limit`, or what the caller gave.
    public var reason: String?
    /// When it was retired, in milliseconds since 1970.
    public var retired: UInt64?

    /// A record of what every record has; the rest is filled in by who makes it.
    public init(version: UInt32, created: UInt64, suite: Suite, isCurrent: Bool, wraps: UInt64, isUsable: Bool) {
        self.version = version
        self.created = created
        self.suite = suite
        self.isCurrent = isCurrent
        self.wraps = wraps
        self.isUsable = isUsable
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        version = fields.u32(1, bytes) ?? 0
        created = fields.u64(2, bytes) ?? 0
        suite = try fields.choice(3, bytes)
        isCurrent = fields.flag(4, bytes) ?? false
        wraps = fields.u64(5, bytes) ?? 0
        isUsable = fields.flag(6, bytes) ?? false
        state = try fields.choice(7, bytes)
        bits = fields.u32(8, bytes)
        isImported = fields.flag(9, bytes) ?? false
        reason = fields.text(10, bytes)
        retired = fields.u64(11, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.u32(1, version)
        writer.u64(2, created)
        writer.u8(3, suite.rawValue)
        writer.flag(4, isCurrent)
        writer.u64(5, wraps)
        writer.flag(6, isUsable)
        writer.u8(7, state?.rawValue)
        writer.u32(8, bits)
        writer.mark(9, isImported)
        writer.text(10, reason)
        writer.u64(11, retired)
    }
}
