import ClavigerWire
import Cryptoki
import Glibc
import Logging
import SecureMemory
import Synchronization

// Changes of keys: intent in the database, object on the token, commit, snapshot. One at a time, under the one lock.
extension TokenService {
    /// What a caller wants changed.
    struct Change {
        var operation: OperationID
        var uid: UInt32
        var opcode: Opcode
        /// The request's body, by which a retry is told from another request under the same id.
        var body: [UInt8]
        /// The new key's name, or the key to rotate.
        var target: Target

        enum Target {
            case create(name: String)
            case rotate(KeyID)
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
            return try carryOut(intent, isResumed: isResumed, &session, &scratch)
        }
        guard let outcome else { throw Refusal(.tokenUnavailable, retryAfter: 1_000) }
        return outcome
    }

    private func refuse(_ error: StoreError) -> Refusal { ledger.refuse(error) }

    private func begin(_ change: Change) throws(Refusal) -> (Intent, isResumed: Bool) {
        let digest = SHA256.digest(change.body.span.bytes)
        let earlier = try mapping(refuse) { () throws(StoreError) in try store.intent(change.operation) }
        if let earlier {
            guard earlier.uid == change.uid, earlier.opcode == change.opcode, earlier.bodyDigest == digest else {
                throw Refusal(.operationConflict)
            }
            // A rotation that was cut off and overtaken by another can only be begun again: its version is taken.
            if earlier.state == .done || (earlier.state == .open && !isOvertaken(earlier)) { return (earlier, true) }
        }
        var intent = Intent(
            operation: change.operation, uid: change.uid, opcode: change.opcode, bodyDigest: digest,
            key: RandomSource.identifier(), name: "", version: Limits.firstVersion, suite: .aesGCM, created: time.now(),
            state: .open, reply: [])
        switch change.target {
        case .create(let name): intent.name = name
        case .rotate(let id):
            // Read under the lock: two rotations at once must not both think that they make the same version.
            guard let key = snapshots.current.keys[id] else { throw Refusal(.denied) }
            try key.stored.require(.rotate, at: intent.created, snapshots.current.settings, isEmergency: true)
            guard key.current.number < UInt32.max else { throw Refusal(.wrapLimit) }
            intent.key = id
            intent.version = key.current.number + 1
        }
        let begun = intent
        try mapping(refuse) { () throws(StoreError) in
            try store.begin(begun, forgetBefore: KeyLedger.horizon(begun.created))
        }
        return (intent, false)
    }

    private func isOvertaken(_ intent: Intent) -> Bool {
        guard let key = snapshots.current.keys[intent.key] else { return false }
        return intent.version <= key.current.number
    }

    private func carryOut(
        _ intent: Intent, isResumed: Bool, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(Refusal) -> KeyRecord {
        let name = ObjectName(key: intent.key, version: intent.version, role: .cipher)
        let handles: SuiteHandles
        let answer: KnownAnswer
        do throws(ObjectFailure) {
            // Looking for an object costs time with the number of objects, so only who may have made it before looks.
            if isResumed,
                let made = try factory.existingVersion(name, intent.suite, isFromDisk: false, session: &session)
            {
                handles = made
            } else {
                handles = try factory.makeVersion(name, intent.suite, session: &session)
            }
            answer = try factory.proof(name, handles, session: &session, scratch: &scratch)
        } catch {
            log.error("key version not made", metadata: intent.metadata.merging(["error": "\(error)"]) { old, _ in old })
            switch error {
            case .token(let cause):
                // The object may or may not be there: the intent stays open and is settled at the next binding or retry.
                if cause.meansLost { declareLost(cause.description) }
                throw Refusal(.tokenUnavailable, retryAfter: 1_000)
            case .attributes, .storage:
                try mapping(refuse) { () throws(StoreError) in try store.fail(intent.operation) }
                throw Refusal(.tokenUnavailable, "the token did not make a key that can be trusted; the log says more")
            }
        }
        // Should the commit fail, the object waits for the open intent to be settled.
        return try ledger.alone { () throws(Refusal) in
            let entry = try mapping(refuse) { () throws(StoreError) in
                try complete(intent, handles, answer, isResumed: isResumed)
            }
            snapshots.update { $0.with(entry) }
            return entry.record(at: intent.created, snapshots.current.settings)
        }
    }

    /// Writes the end of a change: the version, the key and the answer, all or nothing. Call it while nothing else changes.
    func complete(
        _ intent: Intent, _ handles: SuiteHandles?, _ knownAnswer: KnownAnswer, isResumed: Bool
    ) throws(StoreError) -> KeyEntry {
        let version = StoredVersion(
            key: intent.key, version: intent.version, suite: intent.suite, created: intent.created, knownAnswer: knownAnswer,
            wrapsReserved: WrapBudget.block)
        // The known answer is the first encryption. How many an earlier attempt has made nobody knows, so its block counts as used.
        let counter = isResumed ? WrapCounter(reserved: WrapBudget.block) : WrapCounter(used: 1, reserved: WrapBudget.block)
        var entry: KeyEntry
        var before: StoredKey?
        if intent.version == Limits.firstVersion {
            entry = KeyEntry(
                StoredKey(id: intent.key, name: intent.name, state: .active, created: intent.created, version: intent.version),
                versions: [])
        } else {
            guard let stored = try store.key(intent.key) else { throw .corrupt("key \(intent.key) has no row") }
            before = stored
            entry = snapshots.current.keys[intent.key] ?? KeyEntry(stored, versions: [])
            entry.stored = stored
            entry.stored.version = intent.version
            entry.stored.rotated = intent.created
            entry.stored.updated = intent.created
            entry.stored.revision += 1
        }
        entry.versions.append(VersionEntry(version, counter: counter, handles: handles))
        let reply: [UInt8]
        do throws(Refusal) { reply = try KeyLedger.encoded(entry.record(at: intent.created, snapshots.current.settings)) } catch {
            throw .corrupt(error.message)
        }
        try store.commit(intent, key: entry.stored, from: before, version: version, reply: reply, note: nil)
        return entry
    }
}
