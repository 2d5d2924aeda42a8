import ClavigerWire

/// What an object on the token is for. Part of its CKA_ID, so numbers are never reused.
package enum KeyRole: UInt8, CaseIterable, Sendable {
    /// Encrypts and decrypts for a key version (suites 1 and 2) or wraps (suite 3).
    case cipher = 0
    /// Authenticates for a key version (suites 2 and 3).
    case authentication = 1
    /// The instance's HMAC key.
    case mac = 16
    /// The instance's signing pair.
    case audit = 17
    /// The instance's canary: tells a lost token from a faulty key, and our token from another.
    case canary = 18
    /// Seals secrets at rest.
    case vault = 19
    /// Authenticates for the canary, where the token has no GCM.
    case canaryAuthentication = 20
    /// Authenticates for the vault, where the token has no GCM.
    case vaultAuthentication = 21
    /// The RSA pair of an import token: unwraps keys that come from outside.
    case importPair = 22

    /// The word in an object's label.
    package var name: String {
        switch self {
        case .cipher: "cipher"
        case .authentication: "authentication"
        case .mac: "mac"
        case .audit: "audit"
        case .canary: "canary"
        case .vault: "vault"
        case .canaryAuthentication: "canary-authentication"
        case .vaultAuthentication: "vault-authentication"
        case .importPair: "import"
        }
    }

    /// What authenticates beside a key of this role in the suites that need it; nil for a role that does not encrypt.
    package var authentication: KeyRole? {
        switch self {
        case .cipher: .authentication
        case .canary: .canaryAuthentication
        case .vault: .vaultAuthentication
        case .authentication, .mac, .audit, .canaryAuthentication, .vaultAuthentication, .importPair: nil
        }
    }

    /// The instance's own keys, in the order in which they are made.
    package static let instanceRoles: [KeyRole] = [.canary, .vault, .mac, .audit]
}

/// The name of an object on the token: who it belongs to and what it is.
package struct ObjectName: Hashable, Sendable {
    /// The key's id; the instance's for its own keys.
    package var owner: (high: UInt64, low: UInt64) { (ownerHigh, ownerLow) }
    private let ownerHigh: UInt64
    private let ownerLow: UInt64
    /// The version of the key.
    package let version: UInt32
    /// What it is for.
    package let role: KeyRole

    /// The object of a key version.
    package init(key: KeyID, version: UInt32, role: KeyRole) {
        (ownerHigh, ownerLow) = (key.high, key.low)
        self.version = version
        self.role = role
    }

    /// The object of one of the instance's own keys.
    package init(instance: InstanceID, version: UInt32, role: KeyRole) {
        (ownerHigh, ownerLow) = (instance.high, instance.low)
        self.version = version
        self.role = role
    }

    /// The name that a CKA_ID stands for; nil when it is not one of ours.
    package init?(objectID: [UInt8]) {
        guard objectID.count == ObjectName.objectIDLength, let owner = KeyID(objectID.span.bytes),
            let role = KeyRole(rawValue: objectID[20])
        else { return nil }
        let version = objectID[16..<20].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        self.init(key: owner, version: version, role: role)
    }

    /// The name of the HMAC key beside this AES key; nil for an object that is none.
    package var authentication: ObjectName? {
        role.authentication.map { ObjectName(key: key, version: version, role: $0) }
    }

    /// The owner as a key's id.
    package var key: KeyID { KeyID(high: ownerHigh, low: ownerLow) }

    /// CKA_ID: owner (16) || version u32 BE || role u8.
    package var objectID: [UInt8] {
        key.bytes + withUnsafeBytes(of: version.bigEndian) { Array($0) } + [role.rawValue]
    }

    /// The length of a CKA_ID in bytes.
    package static let objectIDLength = 21

    /// CKA_LABEL.
    package func label(instance: InstanceID) -> String {
        "\(ObjectName.labelPrefix(instance: instance))\(key):\(version):\(role.name)"
    }

    /// What the labels of all of an instance's objects begin with.
    package static func labelPrefix(instance: InstanceID) -> String { "claviger:\(instance):" }
}
