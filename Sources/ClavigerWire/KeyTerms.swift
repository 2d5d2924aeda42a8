// The closed sets of words in which keys and what belongs to them are described.

/// What a key is for; never changes.
public enum KeyKind: UInt8, CaseIterable, Sendable {
    /// Its material lies in the token; it wraps and unwraps.
    case root = 0
    /// A secret that callers can read back, sealed by the token.
    case standard = 1

    /// The word for people and for `--json`.
    public var name: String {
        switch self {
        case .root: "root"
        case .standard: "standard"
        }
    }
}

/// What can be done with the envelopes of a key version.
public enum VersionState: UInt8, CaseIterable, Sendable {
    /// They open.
    case inUse = 0
    /// They are refused until that is taken back.
    case retired = 1
    /// They never open again.
    case destroyed = 2

    /// The word for people and for `--json`.
    public var name: String {
        switch self {
        case .inUse: "in-use"
        case .retired: "retired"
        case .destroyed: "destroyed"
        }
    }
}

/// Whether an import token can be taken.
public enum ImportTokenState: UInt8, CaseIterable, Sendable {
    /// It can, until it ends.
    case open = 0
    /// It is used up, expired or deleted; its private key is no more.
    case ended = 1

    /// The word for people and for `--json`.
    public var name: String {
        switch self {
        case .open: "open"
        case .ended: "ended"
        }
    }
}

/// The digest with which OAEP encrypts key material for an import token.
public enum OAEPDigest: UInt8, CaseIterable, Sendable {
    case sha1 = 1
    case sha256 = 2

    /// The word for people and for `--json`.
    public var name: String {
        switch self {
        case .sha1: "SHA-1"
        case .sha256: "SHA-256"
        }
    }
}

/// An action that a policy can make need a second person.
public enum ControlledAction: UInt8, CaseIterable, Sendable {
    case delete = 1
    case purge = 2
    case disable = 3
    case restore = 4
    /// Changing policies.
    case policy = 5

    /// The word for people and for `--json`.
    public var name: String {
        switch self {
        case .delete: "delete"
        case .purge: "purge"
        case .disable: "disable"
        case .restore: "restore"
        case .policy: "policy"
        }
    }
}

/// The actions that need a second person: one bit for each `ControlledAction`, in their order.
public struct DualControl: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    /// The set of these bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The set of this action alone.
    public init(_ action: ControlledAction) { self.init(rawValue: 1 << UInt32(action.rawValue - 1)) }

    public static let delete = DualControl(.delete)
    public static let purge = DualControl(.purge)
    public static let disable = DualControl(.disable)
    public static let restore = DualControl(.restore)
    public static let policy = DualControl(.policy)
    /// Every action.
    public static let all: DualControl = [.delete, .purge, .disable, .restore, .policy]

    /// The actions, in the order of their numbers.
    public var actions: [ControlledAction] { ControlledAction.allCases.filter { contains(DualControl($0)) } }

    /// The bits and their words, for the protocol page.
    static let meaning = ControlledAction.allCases.map { "\(DualControl($0).rawValue) \($0.name)" }.joined(separator: ", ")
}

/// What has become of a request for what needs a second person.
public enum ApprovalState: UInt8, CaseIterable, Sendable {
    /// It waits.
    case open = 0
    /// Somebody else approved it, and it was done.
    case approved = 1
    /// It was withdrawn.
    case cancelled = 2
    /// Nobody decided it in time.
    case expired = 3

    /// The word for people and for `--json`.
    public var name: String {
        switch self {
        case .open: "open"
        case .approved: "approved"
        case .cancelled: "cancelled"
        case .expired: "expired"
        }
    }
}
