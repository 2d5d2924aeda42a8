import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

// After a login: prove that this is our token, find every version's object, take up what a crash left open. Nothing is destroyed.
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
        try destroyOrdered(&objects, &session)
        // Open intents first: what is adopted is a stored version like all others afterwards.
        for intent in try stored({ () throws(StoreError) in try store.openIntents() }) {
            try settle(intent, objects, &session, &scratch)
        }
        // What was completed may have been an import token's last use, which ends its pair.
        try destroyOrdered(&objects, &session)
        try loadAccess()
        let keys = try ledger.load()
        var handles: [ObjectName: SuiteHandles] = [:]
        var isWhole = true
        for key in keys.values {
            for version in key.versions where key.needsObject(version) {
                let name = ObjectName(key: key.id, version: version.number, role: .cipher)
                if let proven = try prove(
                    name, version.suite, version.knownAnswer, &objects, &quarantine, &session, &scratch)
                {
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
        try proveImportPairs(&objects, &quarantine, &session)
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

    private func stored<R>(_ body: () throws(StoreError) -> R) throws(TokenFailure) -> R {
        try mapping({ (error: StoreError) in TokenFailure(error) }, body)
    }

    /// The canary and its companions must be there and the canary must answer, else this is not our token.
    private func proveInstance(
        _ objects: inout TokenObjects, _ quarantine: inout [QuarantineRecord], _ session: inout Session,
        _ scratch: inout CipherScratch
    ) throws(TokenFailure) {
        for record in try stored({ () throws(StoreError) in try store.instanceKeys() }) {
            let name = ObjectName(instance: instance.id, version: record.version, role: record.role)
            let isProven: Bool
            if record.knownAnswer == .absent {
                let handle = try theOneAsOrdered(name, record.suite, objects.take(name), &quarantine, &session)
                isProven = handle != nil
                if record.role == .mac { live.withLock { $0?.mac = handle } }
                if record.role == .audit, let handle { try takeSigningKey(name, handle, &session) }
            } else {
                let handles = try prove(name, record.suite, record.knownAnswer, &objects, &quarantine, &session, &scratch)
                isProven = handles != nil
                if record.role == .vault, let handles { takeVault(record, name, handles) }
                if record.role == .canary, let handles {
                    live.withLock { $0?.canary = Canary(name: name, handles: handles, answer: record.knownAnswer) }
                }
            }
            guard isProven else {
                guard objects.unreadable == 0 else { throw .lost("the instance's keys cannot be read") }
                throw .needsOperator(
                    "the instance's key '\(record.role.name)' is missing or does not answer: is this a copy or an older state of the token?"
                )
            }
        }
    }

    /// The object of a key without a known answer when exactly one is as it was ordered; what a creation that was killed left beside
    /// it is quarantined.
    func theOneAsOrdered(
        _ name: ObjectName, _ suite: Suite, _ found: [TokenObjects.Found], _ quarantine: inout [QuarantineRecord],
        _ session: inout Session
    ) throws(TokenFailure) -> ObjectHandle? {
        var ordered: [ObjectHandle] = []
        for object in found {
            let difference: String?
            do throws(CryptokiError) {
                difference = try factory.template(name, suite).difference(of: object.handle, session: &session)
            } catch {
                if error.meansLost { throw .lost(error.description) }
                difference = error.description
            }
            if let difference {
                quarantine.append(
                    QuarantineRecord(objectID: object.objectID, label: object.label, reason: "not as ordered: \(difference)"))
            } else {
                ordered.append(object.handle)
            }
        }
        return ordered.count == 1 ? ordered[0] : nil
    }

    /// Keys that do not answer on a token that does not answer either say nothing of the keys: it went away in between.
    private func requireCanary(_ session: inout Session, _ scratch: inout CipherScratch) throws(TokenFailure) {
        guard let canary = live.withLock({ $0?.canary }) else { return }
        let holds = try? KnownAnswerProof.holds(
            canary.answer, for: canary.name, canary.handles, session: &session, scratch: &scratch)
        guard holds == true else { throw .lost("the token went away while its keys were looked for") }
    }

    /// The objects that prove to be the keys of the known answer; others of their names are quarantined.
    private func prove(
        _ name: ObjectName, _ suite: Suite, _ answer: KnownAnswer, _ objects: inout TokenObjects,
        _ quarantine: inout [QuarantineRecord], _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(TokenFailure) -> SuiteHandles? {
        let found = suite.names(name).map { objects.take($0) }
        var proven: SuiteHandles?
        for candidate in TokenService.combinations(suite, found) {
            guard try answers(candidate, name, answer, &session, &scratch) else { continue }
            proven = candidate
            break
        }
        for (place, objects) in found.enumerated() {
            for object in objects where !(proven?.all.contains(object.handle) ?? false) {
                var choice = proven?.all ?? []
                if place < choice.count { choice[place] = object.handle }
                let other = proven == nil ? nil : SuiteHandles(suite, choice)
                let isSame = try other.map { (other) throws(TokenFailure) in
                    try answers(other, name, answer, &session, &scratch)
                }
                let reason = isSame == true ? "another object is the same key" : "its known answer fails"
                quarantine.append(QuarantineRecord(objectID: object.objectID, label: object.label, reason: reason))
            }
        }
        return proven
    }

    /// Whether these objects are the keys of a known answer; one that gives an error is not.
    private func answers(
        _ handles: SuiteHandles, _ name: ObjectName, _ answer: KnownAnswer, _ session: inout Session,
        _ scratch: inout CipherScratch
    ) throws(TokenFailure) -> Bool {
        do throws(OpenFailure) {
            return try KnownAnswerProof.holds(answer, for: name, handles, session: &session, scratch: &scratch)
        } catch {
            if case .token(let cause) = error, cause.meansLost, cause.returnValue != .keyHandleInvalid,
                cause.returnValue != .objectHandleInvalid
            {
                throw .lost(cause.description)
            }
            return false
        }
    }

    /// So many pairs of objects are tried at most: more of a name than a few are nobody's accident.
    private static let maximumCombinations = 64

    /// Every choice of one object for each name of a key version.
    private static func combinations(_ suite: Suite, _ found: [[TokenObjects.Found]]) -> [SuiteHandles] {
        var choices: [[ObjectHandle]] = [[]]
        for objects in found {
            choices = choices.flatMap { choice in objects.map { choice + [$0.handle] } }
            choices = Array(choices.prefix(maximumCombinations))
        }
        return choices.compactMap { SuiteHandles(suite, $0) }
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
