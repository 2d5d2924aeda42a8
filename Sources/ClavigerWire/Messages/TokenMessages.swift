/// One mechanism that matters to Claviger.
public struct MechanismRecord: WireMessage {
    public static var schema: [FieldEntry] { Schema.mechanism }
    /// The mechanism's name, such as CKM_AES_GCM.
    public var name: String
    /// Whether the token has it.
    public var isPresent: Bool
    /// What it is used for.
    public var use: String

    /// A record of these values.
    public init(name: String, isPresent: Bool, use: String) {
        self.name = name
        self.isPresent = isPresent
        self.use = use
    }

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        name = fields.text(1, bytes) ?? ""
        isPresent = fields.flag(2, bytes) ?? false
        use = fields.text(3, bytes) ?? ""
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, name)
        writer.flag(2, isPresent)
        writer.text(3, use)
    }
}

/// The reply to token-status.
public struct TokenStatusReply: WireMessage {
    public static var schema: [FieldEntry] { Schema.tokenStatusReply }
    /// The module's absolute path.
    public var module = ""
    /// The module's manufacturer, description and version.
    public var library = ""
    /// The slot's id.
    public var slot: UInt64 = 0
    /// The token's label.
    public var label = ""
    /// The token's manufacturer.
    public var manufacturer = ""
    /// The token's model.
    public var model = ""
    /// The token's serial number.
    public var serial = ""
    /// Whether the user is logged in.
    public var isLoggedIn = false
    /// CK_TOKEN_INFO.flags.
    public var flags: UInt64 = 0
    /// Open sessions, where the token tells.
    public var sessions: UInt64?
    /// The token's bound on sessions, where it has one.
    public var maximumSessions: UInt64?
    /// The mechanisms that matter.
    public var mechanisms: [MechanismRecord] = []

    /// An empty reply, to be filled in.
    public init() {}

    public init(_ fields: FieldMap, _ bytes: RawSpan) throws(Refusal) {
        module = fields.text(1, bytes) ?? ""
        library = fields.text(2, bytes) ?? ""
        slot = fields.u64(3, bytes) ?? 0
        label = fields.text(4, bytes) ?? ""
        manufacturer = fields.text(5, bytes) ?? ""
        model = fields.text(6, bytes) ?? ""
        serial = fields.text(7, bytes) ?? ""
        isLoggedIn = fields.flag(8, bytes) ?? false
        flags = fields.u64(9, bytes) ?? 0
        sessions = fields.u64(10, bytes)
        maximumSessions = fields.u64(11, bytes)
        mechanisms = try fields.items(12, bytes, as: MechanismRecord.self)
    }

    public func encode(to writer: inout BodyWriter, source: RawSpan) {
        writer.text(1, module)
        writer.text(2, library)
        writer.u64(3, slot)
        writer.text(4, label)
        writer.text(5, manufacturer)
        writer.text(6, model)
        writer.text(7, serial)
        writer.flag(8, isLoggedIn)
        writer.u64(9, flags)
        if let sessions { writer.u64(10, sessions) }
        if let maximumSessions { writer.u64(11, maximumSessions) }
        writer.items(12, mechanisms, source: source)
    }
}
