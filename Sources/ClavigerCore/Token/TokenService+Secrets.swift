import ClavigerWire
import Cryptoki
import Logging
import SecureMemory
import Synchronization

// Versions of standard keys: no object on the token, a seal in the database.
extension TokenService {
    /// What a request with a secret is recognised by when it comes again: its HMAC under the instance's key. Call it inside `enter`.
    func fingerprint(_ body: UnsafeRawBufferPointer, _ worker: TokenSession) throws(Refusal) -> [UInt8] {
        guard let key = live.withLock({ $0?.mac }) else { throw Refusal(.tokenUnavailable, retryAfter: 1_000) }
        var mac = [UInt8](repeating: 0, count: SHA256.byteCount)
        do throws(CryptokiError) {
            let outcome = try mac.withUnsafeMutableBytes { output in
                Result { () throws(CryptokiError) in
                    try worker.useReopening(live.withLock { $0 }) { (session, _) throws(CryptokiError) in
                        try session.sign(.hmacSHA256, key: key, data: body.bytes, into: output)
                    }
                }
            }.get()
            guard outcome == mac.count else { throw .malformedReply(.sign) }
            return mac
        } catch {
            log.error("the instance's HMAC key does not work", metadata: ["error": "\(error)"])
            if error.meansLost { declareLost(error.description) }
            throw Refusal(.tokenUnavailable, retryAfter: 1_000)
        }
    }

    /// Fills locked memory with random bytes. Call it inside `enter`.
    func generate(_ output: UnsafeMutableRawBufferPointer, _ worker: TokenSession) throws(Refusal) {
        do throws(CryptokiError) {
            try worker.useReopening(live.withLock { $0 }) { (session, _) throws(CryptokiError) in
                try RandomSource.fill(output, with: &session)
            }
        } catch {
            if error.meansLost { declareLost(error.description) }
            throw Refusal(.tokenUnavailable, retryAfter: 1_000)
        }
    }

    /// Makes a version of a standard key of a secret. Call it inside `enter`.
    ///
    /// Nothing is made on the token, so there is nothing to be settled after a crash: it happened, or it did not.
    ///
    /// - Parameters:
    ///   - secret: 1 to `Limits.maximumPayload` bytes in locked memory.
    ///   - isGiven: whether the caller gave it.
    func keep(_ secret: UnsafeRawBufferPointer, isGiven: Bool, _ change: Change) throws(Refusal) -> KeyRecord {
        let outcome = try manage { (session, scratch) throws(Refusal) -> KeyRecord in
            let now = time.now()
            let (_, planned) = try plan(change, at: now)
            let place = Vault.Place(key: planned.id, version: planned.version)
            let (sealed, suite) = try seal(secret, place, &session, &scratch)
            var version = StoredVersion(
                key: planned.id, version: planned.version, suite: suite, created: now, knownAnswer: .absent, wrapsReserved: 0)
            version.bits = UInt32(secret.count * 8)
            version.isImported = isGiven
            if case .rotate(_, let reason) = change.target { version.reason = reason.text }
            return try commit(version, sealed, change, at: now)
        }
        guard let outcome else { throw Refusal(.tokenUnavailable, retryAfter: 1_000) }
        return outcome
    }

    /// The key before and after a change.
    private func plan(_ change: Change, at now: UInt64) throws(Refusal) -> (before: KeyEntry?, after: StoredKey) {
        let snapshot = snapshots.current
        switch change.target {
        case .create(let key, _):
            try ledger.requireRoom(for: key, at: now, snapshot)
            return (nil, key)
        case .rotate(let id, let reason):
            guard let key = snapshot.keys[id] else { throw Refusal(.denied) }
            try key.stored.require(reason.action, at: now, snapshot.settings, isEmergency: reason.isUrgent)
            guard key.current.number < UInt32.max else { throw Refusal(.wrapLimit) }
            let after = key.stored.revised(at: now) {
                $0.version += 1
                $0.rotated = now
            }
            return (key, after)
        }
    }

    private func commit(
        _ version: StoredVersion, _ sealed: [UInt8], _ change: Change, at now: UInt64
    ) throws(Refusal) -> KeyRecord {
        try ledger.alone { () throws(Refusal) in
            // Again: the key can have been disabled, or its alias taken, while the vault sealed. Versions are made one at a time.
            let (before, after) = try plan(change, at: now)
            guard after.version == version.version else { throw Refusal(.busy, retryAfter: 100) }
            var entry = before ?? KeyEntry(after, versions: [])
            entry.stored = after
            entry.versions.append(VersionEntry(version, counter: WrapCounter(reserved: 0)))
            let record = entry.record(at: now, snapshots.current.settings)
            let intent = Intent(
                operation: change.operation, uid: change.uid, opcode: change.opcode, bodyDigest: change.digest, key: after.id,
                name: after.name, version: version.version, suite: version.suite, created: now, state: .done,
                reply: try KeyLedger.encoded(record))
            var note = intent.note(change, after, version)
            note.allowances = change.allowances
            let allowed = note
            try mapping(ledger.refuse) { () throws(StoreError) in
                try store.change(allowed) { connection throws(StoreError) in
                    if let before {
                        try connection.update(after, from: before.stored)
                    } else {
                        try connection.insert(after)
                    }
                    try connection.insert(version, sealed: sealed)
                    try connection.write(intent, forgetBefore: KeyLedger.horizon(now))
                }
            }
            let published = entry
            snapshots.update { $0.with(published) }
            ledger.alarm.setSoon()
            return record
        }
    }
}
