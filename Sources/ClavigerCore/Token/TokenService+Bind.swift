import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

// After a login: prove that this is our token, find every version's object, take up what a crash left open. Nothing is destroyed
// but what was ordered.
extension TokenService {
    func bind(generation: UInt64) throws(TokenFailure) {
        let outcome: Result<[ObjectName: SuiteHandles], TokenFailure> = management.withLock { management in
            guard management.anchor != nil else { return .failure(.lost("there is no session")) }
            do throws(TokenFailure) {
                return .success(try reconcile(&management.anchor!, &management.scratch))
            } catch {
                return .failure(error)
            }
        }
        try ledger.publish(generation: generation, try outcome.get())
    }

    private func reconcile(
        _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(TokenFailure) -> [ObjectName: SuiteHandles] {
        var objects: TokenObjects
        do throws(CryptokiError) {
            objects = try TokenObjects(instance: instance.id, session: &session)
        } catch {
            throw .lost("the token's objects cannot be listed: \(error)")
        }
        if objects.unreadable > 0 {
            log.warning("objects on the token cannot be read", metadata: ["count": "\(objects.unreadable)"])
        }
        var quarantine: [QuarantineRecord] = []
        try proveInstance(&objects, &quarantine, &session, &scratch)
        // Before anything in the database counts.
        try verifyHead(&session)
        var orders = BindingOrders()
        try destroyOrdered(&objects, &orders, &session)
        // Open intents first: what is adopted is a stored version like all others afterwards.
        for intent in try stored({ () throws(StoreError) in try store.openIntents() }) {
            try settle(intent, objects, &session, &scratch)
        }
        // What was completed may have been an import token's last use, which ends its pair.
        try destroyOrdered(&objects, &orders, &session)
        try loadAccess()
        let keys = try ledger.load()
        var handles: [ObjectName: SuiteHandles] = [:]
        var isWhole = true
        for key in keys.values {
            for version in key.versions where key.needsObject(version) {
                let name = ObjectName(key: key.id, version: version.number, role: .cipher)
                // Many keys take long together, and none of them long.
                busy.step(.attach)
                if let proven = try prove(
                    name, version.suite, version.knownAnswer, &objects, &quarantine, &session, &scratch
                ).found {
                    handles[name] = proven
                    namedMissing.withLock { _ = $0.remove(name) }
                    continue
                }
                isWhole = false
                guard namedMissing.withLock({ $0.insert(name).inserted }) else { continue }
                log.error(
                    "key version has no usable object on the token",
                    metadata: ["key": "\(key.id)", "version": "\(version.number)"])
            }
        }
        if try !proveImportPairs(&objects, &quarantine, &session) { isWhole = false }
        if !isWhole { try requireCanary(&session, &scratch) }
        for object in objects.rest {
            quarantine.append(
                QuarantineRecord(objectID: object.objectID, label: object.label, reason: "no record speaks of it"))
        }
        for record in quarantine {
            log.warning(
                "object on the token is quarantined", metadata: ["label": "\(record.label)", "reason": "\(record.reason)"])
        }
        let found = quarantine
        quarantined.store(found.count, ordering: .relaxed)
        try stored { () throws(StoreError) in try store.setQuarantine(found, now: time.now()) }
        return handles
    }

    /// Takes up who may do what. A database from before there were grants gets the first ones.
    private func loadAccess() throws(TokenFailure) {
        guard let ledger = accessLedger.withLock({ $0 }) else { return }
        let now = time.now()
        let users = FirstGrants.users(ownerOf: configuration.stateDirectory)
        try stored { () throws(StoreError) in
            if try store.makeFirstGrants(to: users, now: now) { log.notice("made the first grants") }
            try ledger.load()
        }
    }

    func stored<R>(_ body: () throws(StoreError) -> R) throws(TokenFailure) -> R {
        try mapping({ (error: StoreError) in TokenFailure(error) }, body)
    }

    /// Ends an intent that a crash left open: its object is adopted when it is exactly what was wanted, and the operation counts as
    /// done, though nobody was told; without an object it has failed.
    private func settle(
        _ intent: Intent, _ objects: TokenObjects, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(TokenFailure) {
        if intent.opcode == .importTokenCreate { return try abandonImportToken(intent) }
        let before = try stored { () throws(StoreError) in try store.key(intent.key)?.version ?? 0 }
        // Another rotation may have made this very version since: then the object is that one's, and nothing is left to complete.
        let isNext = UInt64(before) + 1 == UInt64(intent.version)
        if isNext, let answer = try adopt(intent, objects, &session, &scratch) {
            try complete(intent, answer)
        } else {
            try stored { () throws(StoreError) in try store.fail(intent.operation) }
            log.notice("a change that was cut off left nothing usable behind", metadata: intent.metadata)
        }
    }

    /// Completes an intent whose objects are there, unless the key has become something that cannot have it: then they go.
    private func complete(_ intent: Intent, _ answer: KnownAnswer) throws(TokenFailure) {
        try ledger.alone { () throws(TokenFailure) in
            let snapshot = Snapshot(
                epoch: 0, generation: 0, keys: try ledger.load(),
                settings: try stored { () throws(StoreError) in try store.settings() })
            let obstacle: Refusal?
            do throws(Refusal) {
                try requirePossible(intent, in: snapshot)
                // Who it was is known by number only, and nobody was told that it was done: in doubt it is not.
                guard try !ledger.hasLost(intent.uid, since: intent.created) else { throw Refusal(.denied) }
                obstacle = nil
            } catch {
                obstacle = error
            }
            guard let obstacle else {
                _ = try stored { () throws(StoreError) in try complete(intent, nil, nil, answer, isResumed: true) }
                log.notice("a change that was cut off has been completed", metadata: intent.metadata)
                return
            }
            try stored { () throws(StoreError) in try undo(intent) }
            log.notice(
                "a change that was cut off can no longer be made",
                metadata: intent.metadata.merging(["reason": "\(obstacle)"]) { old, _ in old })
        }
    }

    /// The known answer of the objects that are exactly what an intent ordered, whole on the disk, and open what they seal; nil when
    /// there is none. Nobody was told of the object, so one in doubt is left to the quarantine: it must not keep the daemon from
    /// serving all other keys.
    private func adopt(
        _ intent: Intent, _ objects: TokenObjects, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(TokenFailure) -> KnownAnswer? {
        let name = ObjectName(key: intent.key, version: intent.version, role: .cipher)
        var rest = objects
        var handles: [ObjectHandle] = []
        do throws(ObjectFailure) {
            for part in intent.suite.names(name) {
                let found = rest.take(part)
                guard found.count == 1,
                    try factory.isAsOrdered(
                        part, intent.suite, material: intent.material, found[0].handle, session: &session)
                else { return nil }
                handles.append(found[0].handle)
            }
            guard let whole = SuiteHandles(intent.suite, handles) else { return nil }
            return try factory.proof(name, whole, session: &session, scratch: &scratch)
        } catch {
            switch error {
            case .token(let cause) where cause.meansLost: throw .lost(cause.description)
            case .token, .attributes, .storage, .unproven:
                log.warning("what a change that was cut off has made is not usable", metadata: ["error": "\(error)"])
                return nil
            }
        }
    }
}
