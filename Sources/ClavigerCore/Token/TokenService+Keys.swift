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

    /// For how long the first answer to an operation id is kept: a day, as clients may count on.
    static let operationMemory: UInt64 = 86_400_000

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

    private func refuse(_ error: StoreError) -> Refusal {
        log.error("database", metadata: ["error": "\(error)"])
        return Refusal(.storeUnavailable, retryAfter: 1_000)
    }

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
            key: RandomSource.identifier(), name: "", version: Limits.firstVersion, suite: .aesGCM, created: Clock.date(),
            state: .open, reply: [])
        switch change.target {
        case .create(let name): intent.name = name
        case .rotate(let id):
            // Read under the lock: two rotations at once must not both think that they make the same version.
            guard let key = snapshots.current.keys[id] else { throw Refusal(.denied) }
            guard change.opcode.entry.keyStates.contains(key.state) else {
                throw Refusal(.keyState, "key \(id) is \(key.state.name): it cannot be rotated")
            }
            guard key.current.number < UInt32.max else { throw Refusal(.wrapLimit) }
            intent.key = id
            intent.version = key.current.number + 1
        }
        let horizon = intent.created > TokenService.operationMemory ? intent.created - TokenService.operationMemory : 0
        let begun = intent
        try mapping(refuse) { () throws(StoreError) in try store.begin(begun, forgetBefore: horizon) }
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
        let record = try mapping(refuse) { () throws(StoreError) in try complete(intent, knownAnswer: answer) }
        publish(intent, record, handles, answer, isResumed: isResumed)
        return record
    }

    /// Writes the end of a change: the version, the key and the answer, all or nothing.
    func complete(_ intent: Intent, knownAnswer: KnownAnswer) throws(StoreError) -> KeyRecord {
        var key = StoredKey(
            id: intent.key, name: intent.name, state: .active, created: intent.created, version: intent.version)
        if intent.version > Limits.firstVersion {
            guard let stored = try store.key(intent.key) else { throw .corrupt("key \(intent.key) has no row") }
            key = stored
            key.version = intent.version
        }
        let version = StoredVersion(
            key: intent.key, version: intent.version, suite: intent.suite, created: intent.created, knownAnswer: knownAnswer,
            wrapsReserved: WrapBudget.block)
        let record = KeyRecord(
            id: key.id, name: key.name, state: key.state, created: key.created, version: key.version,
            versionCreated: version.created, suite: version.suite)
        try store.commit(intent, key: key, version: version, reply: TokenService.body(record))
        return record
    }

    private static func body(_ record: KeyRecord) -> [UInt8] {
        // A record's fields: 64 bytes of numbers and headers, and a name of at most 90 scalars.
        [UInt8](unsafeUninitializedCapacity: 128 + Limits.maximumName * 4) { storage, count in
            var writer = BodyWriter(UnsafeMutableRawBufferPointer(storage))
            record.encode(to: &writer, source: RawSpan())
            count = writer.count
        }
    }

    private func publish(
        _ intent: Intent, _ record: KeyRecord, _ handles: SuiteHandles, _ answer: KnownAnswer, isResumed: Bool
    ) {
        // The known answer is the first encryption. How many an earlier attempt has made nobody knows, so its block counts as used.
        let counter =
            isResumed ? WrapCounter(reserved: WrapBudget.block) : WrapCounter(used: 1, reserved: WrapBudget.block)
        let entry = VersionEntry(
            number: intent.version, suite: intent.suite, created: intent.created, knownAnswer: answer, counter: counter,
            handles: handles)
        snapshots.update { snapshot in
            var key =
                snapshot.keys[record.id]
                ?? KeyEntry(id: record.id, name: record.name, state: record.state, created: record.created, versions: [])
            key.versions.append(entry)
            return snapshot.with(key)
        }
    }

    /// All keys as stored, without handles yet. Counters of versions that this process knows go on counting.
    func loadKeys() throws(TokenFailure) -> [KeyID: KeyEntry] {
        let before = snapshots.current
        let (stored, versions) = try mapping({ (error: StoreError) in TokenFailure(error) }) {
            () throws(StoreError) in (try store.keys(), try store.versions())
        }
        var keys: [KeyID: KeyEntry] = [:]
        for key in stored {
            keys[key.id] = KeyEntry(id: key.id, name: key.name, state: key.state, created: key.created, versions: [])
        }
        for version in versions {
            let counter =
                before.keys[version.key]?.version(version.version)?.counter ?? WrapCounter(reserved: version.wrapsReserved)
            keys[version.key]?.versions.append(
                VersionEntry(
                    number: version.version, suite: version.suite, created: version.created, knownAnswer: version.knownAnswer,
                    counter: counter, handles: nil))
        }
        for key in stored {
            let numbers = keys[key.id]?.versions.map(\.number) ?? []
            let isWhole = numbers.enumerated().allSatisfy { Int(Limits.firstVersion) + $0.offset == Int($0.element) }
            guard isWhole, !numbers.isEmpty, numbers.last == key.version else {
                throw .needsOperator(
                    "the database is damaged: key \(key.id) has \(numbers.count) versions, not those from 1 to \(key.version)")
            }
        }
        return keys
    }
}
