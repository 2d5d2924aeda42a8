import ClavigerWire

/// A set of permissions, in one word: what a role holds.
package struct PermissionSet: OptionSet, Hashable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The set of these permissions.
    package init(_ permissions: [Permission]) { self = permissions.reduce(into: []) { $0.formUnion(PermissionSet($1)) } }

    /// The set of one permission.
    package init(_ permission: Permission) { rawValue = 1 << PermissionSet.place(permission) }

    /// Whether the permission is in the set.
    package func holds(_ permission: Permission) -> Bool { contains(PermissionSet(permission)) }

    /// The permissions, in their declared order.
    package var permissions: [Permission] { Permission.allCases.filter(holds) }

    // Only for the life of the process: what is stored are names. No default: a new permission has to find its place.
    private static func place(_ permission: Permission) -> UInt64 {
        switch permission {
        case .observe: 0
        case .wrap: 1
        case .unwrap: 2
        case .rewrap: 3
        case .readKeys: 4
        case .readSecrets: 5
        case .createKeys: 6
        case .updateKeys: 7
        case .rotateKeys: 8
        case .disableKeys: 9
        case .deleteKeys: 10
        case .restoreKeys: 11
        case .purgeKeys: 12
        case .moveKeys: 13
        case .registerResources: 14
        case .readRings: 15
        case .createRings: 16
        case .deleteRings: 17
        case .readPolicies: 18
        case .managePolicies: 19
        case .requestApproval: 20
        case .approve: 21
        case .readAccess: 22
        case .manageAccess: 23
        case .readAudit: 24
        case .readToken: 25
        case .unlock: 26
        }
    }
}

/// How far down a permission reaches: the narrowest scope in which a grant of it means anything.
package enum PermissionReach: Sendable {
    /// Needs no grant: who may connect may ask who he is and whether the daemon lives.
    case everyone
    /// About keys: a grant may be for the instance, a ring or one key.
    case key
    /// About rings, or keys that do not exist yet: a grant may be for the instance or a ring.
    case ring
    /// About the instance as a whole.
    case instance
    /// Decided by uid and the configured group alone; no grant gives it.
    case operators
}

extension Permission {
    /// How far down the permission reaches.
    package var reach: PermissionReach {
        switch self {
        case .observe: .everyone
        case .wrap, .unwrap, .rewrap, .readKeys, .readSecrets, .updateKeys, .rotateKeys, .disableKeys, .deleteKeys, .restoreKeys,
            .purgeKeys, .moveKeys, .registerResources, .readPolicies, .managePolicies, .requestApproval, .approve:
            .key
        case .createKeys, .readRings: .ring
        case .createRings, .deleteRings, .readAccess, .manageAccess, .readAudit, .readToken: .instance
        case .unlock: .operators
        }
    }

    /// Whether a grant's condition on the context can be judged: only what opens or makes envelopes has a context.
    package var hasContext: Bool {
        switch self {
        case .wrap, .unwrap, .rewrap: true
        case .observe, .readKeys, .readSecrets, .createKeys, .updateKeys, .rotateKeys, .disableKeys, .deleteKeys, .restoreKeys,
            .purgeKeys, .moveKeys, .registerResources, .readRings, .createRings, .deleteRings, .readPolicies, .managePolicies,
            .requestApproval, .approve, .readAccess, .manageAccess, .readAudit, .readToken, .unlock:
            false
        }
    }
}
