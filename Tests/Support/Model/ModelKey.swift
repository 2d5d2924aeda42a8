import ClavigerWire

/// One key as the model knows it.
public struct ModelKey: Equatable, Sendable {
    /// One version of it.
    public struct Version: Equatable, Sendable {
        public var created: UInt64
        public var state = VersionState.inUse
        public var retired: UInt64?
        public var reason = ""
        /// The material's size; nil for a secret.
        public var bits: UInt32?
        public var isImported = false
        /// What a standard key keeps; nil until it has been read where the daemon has made it.
        public var secret: [UInt8]?
        /// Whether somebody has looked at its uses since it was retired.
        public var isShown = false
    }

    /// One resource registered with it.
    public struct Registration: Equatable, Sendable {
        public var record: RegistrationRecord
    }

    public var id: KeyID
    public var name: String
    public var kind = KeyKind.root
    public var isImported = false
    public var description = ""
    public var ring = "default"
    public var tags: [String] = []
    public var aliases: [String] = []
    public var createdBy: String
    public var created: UInt64
    public var updated: UInt64
    public var revision: UInt64 = 1
    public var rotated: UInt64?
    public var expires: UInt64?
    /// As written last: an active key whose date has passed is deactivated all the same.
    public var state = KeyState.active
    public var suspended: UInt64?
    public var deleted: UInt64?
    public var deletedBy: String?
    /// Until when it can be restored, from when on purged, and when the daemon purges it: as its deletion said.
    public var restorableUntil: UInt64 = 0
    public var purgeableFrom: UInt64 = 0
    public var purgedFrom: UInt64 = 0
    public var stateBefore: KeyState?
    public var isWiped = false
    public var months: UInt32 = 0
    public var rotates = false
    public var dual: DualControl = []
    public var versions: [Version] = []
    /// By resource; those whose lease has ended stay until they are swept away.
    public var registrations: [String: Registration] = [:]

    /// The state at a moment.
    public func state(at now: UInt64) -> KeyState {
        if state == .active, let expires, expires <= now { return .deactivated }
        return state
    }

    /// Whether its date has passed.
    func isExpired(at now: UInt64) -> Bool { expires.map { $0 <= now } ?? false }

    /// The registrations that hold at a moment.
    func holding(at now: UInt64) -> [RegistrationRecord] {
        registrations.values.map(\.record).filter { record in record.leaseEnds.map { now < $0 } ?? true }
    }

    /// Notes that something about it has changed.
    mutating func touch(_ now: UInt64) {
        updated = now
        revision += 1
    }
}

/// The refusal that the model expects.
public struct ModelRefusal: Error, Equatable, Sendable {
    public let code: RefusalCode
    init(_ code: RefusalCode) { self.code = code }
}

/// Who asks.
public struct ModelPerson: Equatable, Sendable {
    public let uid: UInt32
    public init(uid: UInt32) { self.uid = uid }
    var label: String { "uid:\(uid)" }
}
