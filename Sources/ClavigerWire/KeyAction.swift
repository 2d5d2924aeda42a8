/// What can be done to a key, by callers and by the daemon itself. Whether it can be done in a state is said by one table, `entry`.
public enum KeyAction: String, CaseIterable, Sendable {
    case show
    case listVersions = "list-versions"
    case listRegistrations = "list-registrations"
    case showPolicies = "show-policies"
    case read
    case wrap
    case unwrap
    case rewrap
    case rotate
    case rotateByPolicy = "rotate-by-policy"
    case update
    case move
    case setAlias = "set-alias"
    case setPolicies = "set-policies"
    case register
    case renew = "renew-registration"
    case release
    case disable
    case enable
    case expire
    case delete
    case restore
    case wipe
    case purge
    case purgeByTime = "purge-by-time"
    case retireVersion = "retire-version"
    case destroyVersion = "destroy-version"

    /// The states in which the action is possible, for keys that have it at all.
    public var states: [KeyState] {
        KeyState.allCases.filter { state in KeyKind.allCases.contains { entry.ruling(state, $0).isPossible } }
    }

    /// The table's row.
    ///
    /// Sources: KP is the behaviour of Key Protect (states and transitions as documented, its contradictions settled); "ours" is what
    /// Key Protect leaves open or lacks.
    public var entry: KeyActionEntry {
        switch self {
        case .show:
            KeyActionEntry(.stays, .stays, .stays, .stays, source: "KP; what a destroyed standard key holds is withheld: ours")
        case .listVersions: KeyActionEntry(.stays, .stays, .stays, .stays, source: "KP; without its allKeyStates: ours")
        case .listRegistrations, .showPolicies: KeyActionEntry(.stays, .stays, .stays, .stays, source: "KP")
        case .read:
            KeyActionEntry(
                .stays, .inState, .stays, .deleted, root: .refused(.standardKeyRequired),
                source: "KP; suspended and deactivated: ours")
        case .wrap:
            KeyActionEntry(
                .stays, .inState, .inState, .deleted, standard: .refused(.rootKeyRequired), source: "KP; 410 when destroyed: ours"
            )
        case .unwrap, .rewrap:
            KeyActionEntry(
                .stays, .inState, .stays, .deleted, standard: .refused(.rootKeyRequired), source: "KP; 410 when destroyed: ours")
        case .rotate:
            KeyActionEntry(
                .stays, .inState, .stays, .deleted, [.notBefore(.rotationIntervalMinimum, after: .rotation)],
                source: "KP; standard keys and emergencies: ours")
        case .rotateByPolicy:
            KeyActionEntry(.stays, .skipped, .skipped, .skipped, standard: .skipped, source: "KP; active only: ours")
        case .update:
            KeyActionEntry(.stays, .stays, .stays, .deleted, source: "ours; a new date makes a deactivated key active again")
        case .move, .setAlias: KeyActionEntry(.stays, .stays, .stays, .deleted, source: "KP; 410 when destroyed: ours")
        case .setPolicies: KeyActionEntry(.stays, .stays, .stays, .deleted, source: "KP when active; the rest: ours")
        case .register:
            KeyActionEntry(
                .stays, .inState, .inState, .deleted, standard: .refused(.rootKeyRequired), source: "KP; its 422 is our 409")
        case .renew:
            KeyActionEntry(
                .stays, .stays, .stays, .deleted, standard: .refused(.rootKeyRequired),
                source: "ours: what is registered goes on needing the key")
        case .release: KeyActionEntry(.stays, .stays, .stays, .deleted, source: "KP; 410 when destroyed: ours")
        case .disable:
            KeyActionEntry(
                .becomes(.suspended), .inState, .inState, .deleted, source: "KP; standard keys and 410 when destroyed: ours")
        case .enable:
            KeyActionEntry(
                .inState, .becomes(.active), .inState, .deleted, [.unexpired, .notBefore(.enableDelay, after: .disabling)],
                source: "KP; standard keys and 410 when destroyed: ours")
        case .expire:
            KeyActionEntry(
                .becomes(.deactivated), .skipped, .skipped, .skipped, source: "KP, but at its moment; when suspended: ours")
        case .delete: KeyActionEntry(.becomes(.destroyed), .becomes(.destroyed), .becomes(.destroyed), .deleted, source: "KP")
        case .restore:
            KeyActionEntry(
                .inState, .inState, .inState, .returns,
                [.notBefore(.restoreDelay, after: .deletion), .notAfter(.restoreWindow, after: .deletion, .restoreExpired)],
                source: "KP; to the state before deletion, deactivated when the date has passed meanwhile: ours")
        case .wipe:
            KeyActionEntry(
                .skipped, .skipped, .skipped, .stays, [.notBefore(.restoreWindow, after: .deletion)],
                source: "KP, of its two readings the end of the restore window")
        case .purge:
            KeyActionEntry(.inState, .inState, .inState, .ends, [.notBefore(.purgeDelay, after: .deletion)], source: "KP")
        case .purgeByTime:
            KeyActionEntry(.skipped, .skipped, .skipped, .ends, [.notBefore(.autoPurge, after: .deletion)], source: "KP")
        case .retireVersion, .destroyVersion:
            KeyActionEntry(.stays, .stays, .stays, .deleted, source: "ours: Key Protect has no such thing")
        }
    }
}

/// What comes of an action in a state.
public enum KeyRuling: Hashable, Sendable {
    /// It is done, and the state stays.
    case stays
    /// It is done, and this is the state afterwards.
    case becomes(KeyState)
    /// It is done, and the state is the one before the key was deleted.
    case returns
    /// It is done, and nothing remains of the key.
    case ends
    /// It is refused.
    case refused(RefusalCode)
    /// It does not happen: the daemon would do it by itself.
    case skipped

    static let inState = KeyRuling.refused(.keyState)
    static let deleted = KeyRuling.refused(.keyDeleted)

    /// Whether the action is done.
    public var isPossible: Bool {
        switch self {
        case .stays, .becomes, .returns, .ends: true
        case .refused, .skipped: false
        }
    }

    /// For tables: the new state, the refusal's name, or a word.
    public var name: String {
        switch self {
        case .stays: "yes"
        case .becomes(let state): "→ \(state.name)"
        case .returns: "→ as before deletion"
        case .ends: "→ purged"
        case .refused(let code): code.name
        case .skipped: "—"
        }
    }
}

/// What moment of a key's life a time is counted from.
public enum KeyMoment: Sendable {
    case disabling
    case deletion
    case rotation
}

/// What must be so beside the state.
public enum KeyCondition: Sendable {
    /// The key's expiration date has not passed; else `key-expired`.
    case unexpired
    /// So much time has passed since; else `too-early`, or `rotation-too-soon` after a rotation.
    case notBefore(InstanceSetting, after: KeyMoment)
    /// Not more time has passed since than this; else the refusal given.
    case notAfter(InstanceSetting, after: KeyMoment, RefusalCode)
}

/// One row of the state table.
public struct KeyActionEntry: Sendable {
    private let root: Rulings
    private let standard: Rulings
    /// What must be so beside the state, in the order in which it is looked at.
    public let conditions: [KeyCondition]
    /// Where the row comes from.
    public let source: String

    /// The four states in their order; a kind of key that never has the action has one ruling for all of them.
    init(
        _ active: KeyRuling, _ suspended: KeyRuling, _ deactivated: KeyRuling, _ destroyed: KeyRuling,
        _ conditions: [KeyCondition] = [], root: KeyRuling? = nil, standard: KeyRuling? = nil, source: String
    ) {
        let all = Rulings(active: active, suspended: suspended, deactivated: deactivated, destroyed: destroyed)
        self.root = root.map { Rulings(always: $0) } ?? all
        self.standard = standard.map { Rulings(always: $0) } ?? all
        self.conditions = conditions
        self.source = source
    }

    /// What comes of the action in a state.
    public func ruling(_ state: KeyState, _ kind: KeyKind) -> KeyRuling {
        let rulings =
            switch kind {
            case .root: root
            case .standard: standard
            }
        return switch state {
        case .active: rulings.active
        case .suspended: rulings.suspended
        case .deactivated: rulings.deactivated
        case .destroyed: rulings.destroyed
        }
    }

    // No array: a row is made whenever it is asked for.
    private struct Rulings {
        let active: KeyRuling
        let suspended: KeyRuling
        let deactivated: KeyRuling
        let destroyed: KeyRuling

        init(active: KeyRuling, suspended: KeyRuling, deactivated: KeyRuling, destroyed: KeyRuling) {
            self.active = active
            self.suspended = suspended
            self.deactivated = deactivated
            self.destroyed = destroyed
        }

        init(always ruling: KeyRuling) { self.init(active: ruling, suspended: ruling, deactivated: ruling, destroyed: ruling) }
    }
}
