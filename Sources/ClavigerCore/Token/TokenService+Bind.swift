import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

// After a login: prove that this is our token, find every version's object, take up what a crash left open. Nothing is destroyed.
extension TokenService {
    func bind(generation: UInt64) throws(TokenFailure) {
        let outcome: Result<[KeyID: KeyEntry], TokenFailure> = management.withLock { management in
            guard management.anchor != nil else { return .failure(.lost("there is no session")) }
            do throws(TokenFailure) {
                return .success(try reconcile(&management.anchor!, &management.scratch))
            } catch {
                return .failure(error)
            }
        }
        let keys = try outcome.get()
        snapshots.update { Snapshot(epoch: $0.epoch + 1, generation: generation, keys: keys) }
    }

    private func reconcile(
        _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(TokenFailure) -> [KeyID: KeyEntry] {
        var objects: TokenObjects
        do throws(CryptokiError) {
            objects = try TokenObjects(instance: instance.id, session: &session)
        } catch {
            throw .lost("the token's objects cannot be listed: \(error)")
        }
        var quarantine: [QuarantineRecord] = []
        try proveInstance(&objects, &quarantine, &session, &scratch)
        // Open intents first: what is adopted is a stored version like all others afterwards.
        for intent in try stored({ () throws(StoreError) in try store.openIntents() }) {
            try settle(intent, objects, &session, &scratch)
        }
        var keys = try loadKeys()
        for key in keys.values {
            for index in key.versions.indices {
                let version = key.versions[index]
                let name = ObjectName(key: key.id, version: version.number, role: .cipher)
                let handle = try prove(
                    name, version.knownAnswer, objects.take(name), &quarantine, &session, &scratch)
                keys[key.id]?.versions[index].handle = handle
                if handle == nil {
                    log.error(
                        "key version has no usable object on the token",
                        metadata: ["key": "\(key.id)", "version": "\(version.number)"])
                }
            }
        }
        for object in objects.rest {
            quarantine.append(
                QuarantineRecord(objectID: object.objectID, label: object.label, reason: "no record speaks of it"))
        }
        for record in quarantine {
            log.warning(
                "object on the token is quarantined", metadata: ["label": "\(record.label)", "reason": "\(record.reason)"])
        }
        let found = quarantine
        try stored { () throws(StoreError) in try store.setQuarantine(found, now: Clock.date()) }
        return keys
    }

    private func stored<R>(_ body: () throws(StoreError) -> R) throws(TokenFailure) -> R {
        try mapping({ (error: StoreError) in TokenFailure.needsOperator(error.description) }, body)
    }

    /// The canary and its companions must be there and the canary must answer, else this is not our token.
    private func proveInstance(
        _ objects: inout TokenObjects, _ quarantine: inout [QuarantineRecord], _ session: inout Session,
        _ scratch: inout CipherScratch
    ) throws(TokenFailure) {
        for record in try stored({ () throws(StoreError) in try store.instanceKeys() }) {
            let name = ObjectName(instance: instance.id, version: record.version, role: record.role)
            let found = objects.take(name)
            let isProven: Bool
            if record.knownAnswer == .none {
                isProven = found.count == 1
            } else {
                let handle = try prove(name, record.knownAnswer, found, &quarantine, &session, &scratch)
                isProven = handle != nil
                if record.role == .canary, let handle {
                    live.withLock { $0?.canary = Canary(handle: handle, answer: record.knownAnswer) }
                }
            }
            guard isProven else {
                throw .needsOperator(
                    "the instance's key '\(record.role.name)' is missing or does not answer: is this a copy or an older state of the token?"
                )
            }
        }
    }

    /// The one object that proves to be the key of the known answer; others of its name are quarantined.
    private func prove(
        _ name: ObjectName, _ answer: KnownAnswer, _ found: [TokenObjects.Found], _ quarantine: inout [QuarantineRecord],
        _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(TokenFailure) -> ObjectHandle? {
        var proven: ObjectHandle?
        for object in found {
            let holds: Bool
            do throws(OpenFailure) {
                holds = try KnownAnswerProof.holds(
                    answer, for: name, key: object.handle, session: &session, scratch: &scratch)
            } catch {
                if case .token(let cause) = error, cause.meansLost, cause.returnValue != .keyHandleInvalid,
                    cause.returnValue != .objectHandleInvalid
                {
                    throw .lost(cause.description)
                }
                holds = false
            }
            if holds && proven == nil {
                proven = object.handle
            } else {
                let reason = holds ? "another object is the same key" : "its known answer fails"
                quarantine.append(QuarantineRecord(objectID: object.objectID, label: object.label, reason: reason))
            }
        }
        return proven
    }

    /// Ends an intent that a crash left open: its object is adopted when it is exactly what was wanted, and the operation counts as
    /// done, though nobody was told; without an object it has failed.
    private func settle(
        _ intent: Intent, _ objects: TokenObjects, _ session: inout Session, _ scratch: inout CipherScratch
    ) throws(TokenFailure) {
        let name = ObjectName(key: intent.key, version: intent.version, role: .cipher)
        var rest = objects
        let found = rest.take(name)
        if found.count == 1, try isAsOrdered(name, found[0].handle, &session) {
            let answer = try mapping({ (error: CryptokiError) in TokenFailure.lost(error.description) }) {
                () throws(CryptokiError) in
                try KnownAnswerProof.make(for: name, key: found[0].handle, session: &session, scratch: &scratch)
            }
            _ = try stored { () throws(StoreError) in try complete(intent, knownAnswer: answer) }
            log.notice("a change that was cut off has been completed", metadata: intent.metadata)
        } else {
            try stored { () throws(StoreError) in try store.fail(intent.operation) }
            log.notice("a change that was cut off left nothing usable behind", metadata: intent.metadata)
        }
    }

    /// Whether an object is exactly what was ordered, and whole on the disk.
    private func isAsOrdered(
        _ name: ObjectName, _ handle: ObjectHandle, _ session: inout Session
    ) throws(TokenFailure) -> Bool {
        let template = ObjectTemplate(name, instance: instance.id)
        let difference = try mapping({ (error: CryptokiError) in TokenFailure.lost(error.description) }) {
            () throws(CryptokiError) in try template.difference(of: handle, session: &session)
        }
        guard difference == nil else { return false }
        return try mapping({ (error: FileError) in TokenFailure.needsOperator(error.description) }) {
            () throws(FileError) -> Bool in
            guard let files else { return true }
            return try files.secure(try files.objects())
        }
    }
}

extension Intent {
    /// For the log.
    var metadata: Logger.Metadata {
        ["operation": "\(opcode.entry.name)", "key": "\(key)", "version": "\(version)"]
    }
}
