import ClavigerWire

/// Where a grant holds.
package enum Scope: Hashable, Sendable, CustomStringConvertible {
    /// Everywhere in the instance.
    case instance
    /// For one key ring, and every key while it is in it.
    case ring(String)
    /// For one key, wherever it is.
    case key(KeyID)

    /// As it is written: `instance`, `ring:NAME`, `key:ID`.
    package var description: String {
        switch self {
        case .instance: "instance"
        case .ring(let name): "ring:\(name)"
        case .key(let id): "key:\(id)"
        }
    }

    /// Whether a grant for the scope means anything for a permission that reaches so far down: who may create keys in one key may create
    /// none.
    package func reaches(_ reach: PermissionReach) -> Bool {
        switch (self, reach) {
        case (.instance, _), (.ring, .key), (.ring, .ring), (.key, .key): true
        case (.ring, .instance), (.key, .instance), (.key, .ring): false
        // No grant is asked for.
        case (.ring, .everyone), (.ring, .operators), (.key, .everyone), (.key, .operators): false
        }
    }

    /// Whether what is asked for lies in the scope.
    package func covers(_ target: AccessTarget) -> Bool {
        switch (self, target) {
        case (.instance, _), (_, .anything): true
        case (.ring(let name), .ring(let asked)): name == asked
        case (.ring(let name), .key(_, let ring)): name == ring
        case (.key(let id), .key(let asked, _)): id == asked
        case (.ring, .instance), (.key, .instance), (.key, .ring): false
        }
    }
}

/// What a permission is asked for.
package enum AccessTarget: Hashable, Sendable {
    /// Whatever there may be: whether the caller has the permission at all.
    case anything
    /// The instance as a whole.
    case instance
    /// A key ring.
    case ring(String)
    /// A key, in its ring.
    case key(KeyID, ring: String)
}
