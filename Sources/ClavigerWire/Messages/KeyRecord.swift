/// One key, as shown to callers; the reply to whatever makes or changes one.
public struct KeyRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.key }
    /// The key's id.
    public var id: KeyID
    /// Its name.
    public var name: String
    /// Its state.
    public var state: KeyState
    /// When it was created, in milliseconds since 1970.
    public var created: UInt64
    /// Its newest version, under which it wraps.
    public var version: UInt32
    /// When that version was made, in milliseconds since 1970.
    public var versionCreated: UInt64
    /// The suite of that version.
    public var suite: Suite
    /// Whether it is a root key or a standard key.
    public var kind: KeyKind?
    /// Whether its material was imported.
    public var isImported = false
    /// The size of the newest version's material; nil for a standard key.
    public var bits: UInt32?
    /// What it is for.
    public var description: String?
    /// The key ring that it is in.
    public var ring: String?
    /// Its tags.
    public var tags: [String] = []
    /// Its aliases, in alphabetical order.
    public var aliases: [String] = []
    /// Who created it.
    public var createdBy: String?
    /// When it was last changed, in milliseconds since 1970.
    public var updated: UInt64?
    /// Rises with every change: what a careful change gives back to be refused if somebody came between.
    public var revision: UInt64?
    /// When it was last rotated, in milliseconds since 1970; nil when it never was.
    public var rotated: UInt64?
    /// When it expires, in milliseconds since 1970; nil when it does not.
    public var expires: UInt64?
    /// When it was deleted, in milliseconds since 1970.
    public var deleted: UInt64?
    /// Who deleted it.
    public var deletedBy: String?
    /// Until when it can be restored, in milliseconds since 1970.
    public var restorableUntil: UInt64?
    /// From when on it can be purged, in milliseconds since 1970.
    public var purgeFrom: UInt64?
    /// When it is purged by itself, in milliseconds since 1970.
    public var purgeScheduled: UInt64?
    /// Whether it could be restored now.
    public var isRestoreAllowed = false
    /// Whether it could be purged now.
    public var isPurgeAllowed = false
    /// Its rotation policy: every so many months; 0 or nil for none.
    public var rotationMonths: UInt32?
    /// Whether that policy is switched on.
    public var isRotationEnabled = false
    /// The actions that need a second person: delete, purge, disable, restore, policy.
    public var dualControl: DualControl?
    /// How many resources are registered with it.
    public var registrations: UInt32?
    /// 1 when its material is gone for good; only the metadata is left.
    public var isWiped = false
    /// The open request to do something to it that needs a second person.
    public var pendingApproval: ApprovalID?
    /// When its rotation policy rotates it next, in milliseconds since 1970.
    public var nextRotation: UInt64?

    /// A record of what every record has; the rest is filled in by who makes it.
    public init(id: KeyID, name: String, state: KeyState, created: UInt64, version: UInt32, versionCreated: UInt64, suite: Suite)
    {
        self.id = id
        self.name = name
        self.state = state
        self.created = created
        self.version = version
        self.versionCreated = versionCreated
        self.suite = suite
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        id = fields.id(1, bytes) ?? .zero
        name = fields.text(2, bytes) ?? ""
        state = try fields.choice(3, bytes)
        created = fields.u64(4, bytes) ?? 0
        version = fields.u32(5, bytes) ?? 0
        versionCreated = fields.u64(6, bytes) ?? 0
        suite = try fields.choice(7, bytes)
        kind = try fields.choice(8, bytes)
        isImported = fields.flag(9, bytes) ?? false
        bits = fields.u32(10, bytes)
        description = fields.text(11, bytes)
        ring = fields.text(12, bytes)
        tags = fields.texts(13, bytes) ?? []
        aliases = fields.texts(14, bytes) ?? []
        createdBy = fields.text(15, bytes)
        updated = fields.u64(16, bytes)
        revision = fields.u64(17, bytes)
        rotated = fields.u64(18, bytes)
        expires = fields.u64(19, bytes)
        deleted = fields.u64(20, bytes)
        deletedBy = fields.text(21, bytes)
        restorableUntil = fields.u64(22, bytes)
        purgeFrom = fields.u64(23, bytes)
        purgeScheduled = fields.u64(24, bytes)
        isRestoreAllowed = fields.flag(25, bytes) ?? false
        isPurgeAllowed = fields.flag(26, bytes) ?? false
        rotationMonths = fields.u32(27, bytes)
        isRotationEnabled = fields.flag(28, bytes) ?? false
        dualControl = fields.u32(29, bytes).map { DualControl(rawValue: $0) }
        registrations = fields.u32(30, bytes)
        isWiped = fields.flag(31, bytes) ?? false
        pendingApproval = fields.id(32, bytes)
        nextRotation = fields.u64(33, bytes)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.id(1, id)
        writer.text(2, name)
        writer.u8(3, state.rawValue)
        writer.u64(4, created)
        writer.u32(5, version)
        writer.u64(6, versionCreated)
        writer.u8(7, suite.rawValue)
        writer.u8(8, kind?.rawValue)
        writer.mark(9, isImported)
        writer.u32(10, bits)
        writer.text(11, description)
        writer.text(12, ring)
        if !tags.isEmpty { writer.texts(13, tags) }
        if !aliases.isEmpty { writer.texts(14, aliases) }
        writer.text(15, createdBy)
        writer.u64(16, updated)
        writer.u64(17, revision)
        writer.u64(18, rotated)
        writer.u64(19, expires)
        writer.u64(20, deleted)
        writer.text(21, deletedBy)
        writer.u64(22, restorableUntil)
        writer.u64(23, purgeFrom)
        writer.u64(24, purgeScheduled)
        writer.mark(25, isRestoreAllowed)
        writer.mark(26, isPurgeAllowed)
        writer.u32(27, rotationMonths)
        writer.mark(28, isRotationEnabled)
        writer.u32(29, dualControl?.rawValue)
        writer.u32(30, registrations)
        writer.mark(31, isWiped)
        writer.id(32, pendingApproval)
        writer.u64(33, nextRotation)
    }
}
