import ClavigerWire
import Cryptoki
import Glibc
import Logging
import SecureMemory
import Synchronization

// Changes of keys that need the token: intent in the database, objects on the token, commit, snapshot. One at a time, under the one
// lock.
extension TokenService {
    /// A change, and who wants it.
    struct Change {
        var operation: OperationID
        /// Nil for the daemon itself.
        var caller: Caller?
        var opcode: Opcode
        /// What the request's body is recognised by, by which a retry is told from another request under the same id.
        var digest: [UInt8]
        var target: Target
        var material = NewMaterial.generated
        /// What the caller is allowed it by.
        var allowances: [Allowance] = []

        init(
            operation: OperationID, caller: Caller?, opcode: Opcode, digest: [UInt8], target: Target,
            material: NewMaterial = .generated, allowances: [Allowance] = []
        ) {
            self.allowances = allowances
            self.operation = operation
            self.caller = caller
            self.opcode = opcode
            self.digest = digest
            self.target = target
            self.material = material
        }

        /// A change whose request holds no secret.
        init(
            operation: OperationID, caller: Caller?, opcode: Opcode, body: [UInt8], target: Target, allowances: [Allowance] = []
        ) {
            self.init(
                operation: operation, caller: caller, opcode: opcode, digest: SHA256.digest(body.span.bytes), target: target,
                allowances: allowances)
        }

        enum Target {
            /// A new key, as it is to be stored; its version and state are decided here. Without a suite it gets the configured one, or
            /// the best that the token has.
            case create(StoredKey, suite: Suite? = nil)
            case rotate(KeyID, RotationReason)
        }

        /// The user whose retries get the first answer.
        var uid: UInt32 { caller?.uid ?? geteuid() }
    }

    /// Why a key gets a new version.
    enum RotationReason: Equatable, Sendable {
        /// Somebody wants it.
        case wish
        /// Somebody needs it now, for what he says: the least interval between rotations does not count.
        case emergency(String)
        /// The key's rotation policy.
        case policy
        /// The newest version nears its wrap limit.
        case wrapLimit

        /// As stored with the version.
        var text: String {
            switch self {
            case .wish: ""
            case .emergency(let reason): reason
            case .policy: "policy"
            case .wrapLimit: "wrap-limit"
            }
        }

        /// The row of the state table that it goes by.
        var action: KeyAction {
            switch self {
            case .wish, .emergency, .wrapLimit: .rotate
            case .policy: .rotateByPolicy
            }
        }

        /// Whether the least interval between rotations is passed over.
        var isUrgent: Bool {
            switch self {
            case .wish, .policy: false
            case .emergency, .wrapLimit: true
            }
        }
    }

    /// Makes a change, or returns the answer that it had the first time. Call it inside `enter`.
    func perform(_ change: Change) throws(Refusal) -> KeyRecord {
        let outcome = try manage { (session, scratch) throws(Refusal) -> KeyRecord in
            let (intent, isResumed) = try begin(change)
            if intent.state == .done {
                return try mapping({ (_: Refusal) in Refusal(.internalError) }) { () throws(Refusal) in
                    try KeyRecord.decode(intent.reply.span.bytes)
                }
            }
            return try carryOut(intent, change, isResumed: isResumed, &session, &scratch)
        }
        guard let outcome else { throw Refusal(.tokenUnavailable, retryAfter: 1_000) }
        return outcome
    }

    private func begin(_ change: Change) throws(Refusal) -> (Intent, isResumed: Bool) {
        let earlier = try mapping(ledger.refuse) { () throws(StoreError) in try store.intent(change.operation) }
        if let earlier {
            guard earlier.uid == change.uid, earlier.opcode == change.opcode, earlier.bodyDigest == change.digest else {
                throw Refusal(.operationConflict)
            }
            // A rotation that was cut off and overtaken by another can only be begun again: its version is taken.
            if earlier.state == .done { return (earlier, true) }
            if earlier.state == .open, !isOvertaken(earlier) {
                try requireNoOrder(against: earlier)
                return (earlier, true)
            }
        }
        let now = time.now()
        var intent = Intent(
            operation: change.operation, uid: change.uid, opcode: change.opcode, bodyDigest: change.digest,
            key: KeyID(high: 0, low: 0), name: "",
            version: Limits.firstVersion, suite: .aesGCM, created: now, state: .open, reply: [])
        let snapshot = snapshots.current
        // Before anything is said of what there is: who has no nonce of the import token learns nothing.
        let nonce = try freshNonce(change.material, at: now, isRepeated: earlier != nil)
        switch change.target {
        case .create(let key, let suite):
            try ledger.requireRoom(for: key, at: now, snapshot)
            intent.suite = try chooseSuite(change.material.kind == .generated ? suite : .aesGCM)
            intent.key = key.id
            intent.name = key.name
            intent.details = try KeyLedger.encoded(IntentDetails.record(of: key, change.material.kind))
        case .rotate(let id, let reason):
            // Read under the lock: two rotations at once must not both think that they make the same version.
            guard let key = snapshot.keys[id] else { throw Refusal(.denied) }
            // Whoever keeps the material of an imported key elsewhere could open nothing made by a version that he has not.
            guard !key.stored.isImported || change.material.kind != .generated else { throw Refusal(.payloadRequired) }
            try key.stored.require(reason.action, at: now, snapshot.settings, isEmergency: reason.isUrgent)
            guard key.current.number < UInt32.max else { throw Refusal(.wrapLimit) }
            intent.key = id
            intent.version = key.current.number + 1
            intent.suite = key.current.suite
            intent.details = try KeyLedger.encoded(IntentDetails.record(of: intent, reason, change.material.kind))
        }
        try requireNoOrder(against: intent)
        let begun = intent
        try mapping(ledger.refuse) { () throws(StoreError) in
            try store.begin(begun, forgetBefore: KeyLedger.horizon(now), burning: nonce)
        }
        return (intent, false)
    }

    /// What an attempt that failed has left is destroyed by its name; a new object of the same name must not be there by then.
    private func requireNoOrder(against intent: Intent) throws(Refusal) {
        let orders = try mapping(ledger.refuse) { () throws(StoreError) in try store.destroyOrders() }
        guard !orders.isEmpty else { return }
        let names = Set(intent.objectNames.map(\.objectID))
        guard orders.contains(where: { names.contains($0.objectID) }) else { return }
        wantOrders()
        throw Refusal(.busy, "what an earlier attempt has left on the token is being destroyed", retryAfter: 1_000)
    }

    private func isOvertaken(_ intent: Intent) -> Bool {
        guard intent.version > Limits.firstVersion else { return false }
        guard let key = snapshots.current.keys[intent.key] else { return true }
        return intent.version <= key.current.number
    }
}
