import ClavigerWire

/// The instance and the token that it is bound to.
package struct InstanceRecord: Equatable, Sendable {
    package var id: InstanceID
    /// When it was made, in milliseconds since 1970.
    package var created: UInt64
    package var tokenLabel: String
    package var tokenManufacturer: String
    package var tokenModel: String
    /// What the binding is checked by, together with the canary.
    package var tokenSerial: String
    /// Whether `token init` has finished.
    package var isComplete: Bool

    package init(
        id: InstanceID, created: UInt64, tokenLabel: String, tokenManufacturer: String, tokenModel: String, tokenSerial: String,
        isComplete: Bool
    ) {
        self.id = id
        self.created = created
        self.tokenLabel = tokenLabel
        self.tokenManufacturer = tokenManufacturer
        self.tokenModel = tokenModel
        self.tokenSerial = tokenSerial
        self.isComplete = isComplete
    }
}

/// What proves that an object is the key it is taken for: something only this key can open.
package struct KnownAnswer: Equatable, Sendable {
    /// An envelope of 32 random bytes; empty for a key that does not encrypt.
    package var ciphertext: [UInt8]
    /// SHA-256 of the random bytes, or of the HMAC of a fixed text under a key that makes them.
    package var digest: [UInt8]

    /// Of keys that have none.
    package static let absent = KnownAnswer(ciphertext: [], digest: [])
}

/// One of the instance's own keys.
package struct InstanceKeyRecord: Equatable, Sendable {
    package var role: KeyRole
    package var version: UInt32
    /// Of what encrypts.
    package var suite: Suite
    package var created: UInt64
    package var knownAnswer: KnownAnswer
    /// A bound on how often it has encrypted, where it seals.
    package var wrapsReserved: UInt64 = 1 << 16

    package init(role: KeyRole, version: UInt32, suite: Suite, created: UInt64, knownAnswer: KnownAnswer) {
        self.role = role
        self.version = version
        self.suite = suite
        self.created = created
        self.knownAnswer = knownAnswer
    }
}

/// A key as stored: everything about it but its versions.
package struct StoredKey: Equatable, Sendable {
    package var id: KeyID
    package var name: String
    /// As written last; an active key whose date has passed counts as deactivated before that is written too.
    package var state: KeyState
    /// All times are milliseconds since 1970.
    package var created: UInt64
    /// The newest version.
    package var version: UInt32
    package var kind = KeyKind.root
    /// Whether its material came from outside.
    package var isImported = false
    /// Empty for none.
    package var description = ""
    package var ring = StoredKey.defaultRing
    /// Who created it, as `Caller.label` says it.
    package var createdBy = ""
    package var updated: UInt64 = 0
    /// Rises with every change of the key: what compare-and-set compares.
    package var revision: UInt64 = 1
    /// The last rotation; nil before the first.
    package var rotated: UInt64?
    package var expires: UInt64?
    /// When it was disabled; set while it is suspended, and kept through a deletion.
    package var suspended: UInt64?
    package var deleted: UInt64?
    package var deletedBy: String?
    /// What its deletion promised by the settings of that time, set while the key is destroyed: until when it can be restored.
    package var restorableUntil: UInt64?
    /// From when on it can be purged.
    package var purgeableFrom: UInt64?
    /// When the daemon purges it.
    package var purgedFrom: UInt64?
    /// The state that a restore gives back; set while the key is destroyed.
    package var stateBefore: KeyState?
    /// Whether its material is gone: the restore window is over.
    package var isWiped = false
    /// The interval of its rotation policy, 0 for none; kept while the policy is off.
    package var rotationMonths: UInt32 = 0
    package var isRotationEnabled = false
    /// What needs a second person.
    package var dualControl: DualControl = []
    package var tags: [String] = []
    /// Ascending.
    package var aliases: [String] = []

    /// The ring that always exists, and that keys are in unless another is named.
    package static let defaultRing = "default"

    package init(id: KeyID, name: String, state: KeyState, created: UInt64, version: UInt32) {
        self.id = id
        self.name = name
        self.state = state
        self.created = created
        self.version = version
        updated = created
    }
}

/// A key version as stored.
package struct StoredVersion: Equatable, Sendable {
    package var key: KeyID
    package var version: UInt32
    package var suite: Suite
    package var created: UInt64
    package var knownAnswer: KnownAnswer
    /// A bound on how often it has encrypted.
    package var wrapsReserved: UInt64
    package var state = VersionState.inUse
    /// The length of its material in bits; of a standard key's secret too, where that is a key.
    package var bits: UInt32 = 256
    package var isImported = false
    /// Why it was made: empty, `policy`, `wrap-limit`, or what the caller said of an emergency.
    package var reason = ""
    /// When it was retired last.
    package var retired: UInt64?

    package init(
        key: KeyID, version: UInt32, suite: Suite, created: UInt64, knownAnswer: KnownAnswer, wrapsReserved: UInt64
    ) {
        self.key = key
        self.version = version
        self.suite = suite
        self.created = created
        self.knownAnswer = knownAnswer
        self.wrapsReserved = wrapsReserved
    }
}

/// How often a version was used and when last, as counted for the census.
package struct StoredUse: Equatable, Sendable {
    package var key: KeyID
    package var version: UInt32
    package var counts: VersionUse.Counts
}

/// How a change that was begun has ended.
package enum IntentState: Int64, Sendable {
    case open = 0
    case done = 1
    case failed = 2
}

/// A change that was begun: written before the token is touched, so that a crash leaves a trace of what was wanted.
package struct Intent: Equatable, Sendable {
    package var operation: OperationID
    /// Who asked; only the same user's retry gets the first answer.
    package var uid: UInt32
    package var opcode: Opcode
    /// SHA-256 of the request's body: the same operation id with another body is refused.
    package var bodyDigest: [UInt8]
    package var key: KeyID
    /// The new key's name; empty for a rotation.
    package var name: String
    /// The version to make.
    package var version: UInt32
    package var suite: Suite
    package var created: UInt64
    package var state: IntentState
    /// The reply's body, once it is done.
    package var reply: [UInt8]
    /// What the change is about beyond a new version.
    package var details: [UInt8] = []
}

/// An object on the token that is ours by its label but has no record.
package struct QuarantineRecord: Hashable, Sendable {
    package var objectID: [UInt8]
    package var label: String
    package var reason: String
}
