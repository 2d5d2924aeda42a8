import ClavigerWire
import Cryptoki
import Logging
import SecureMemory

// From an intent to its end: objects on the token, then version, key and answer in the database, then the snapshot.
extension TokenService {
    /// Makes the objects of an intent and completes it.
    func carryOut(
        _ intent: Intent, _ change: Change, isResumed: Bool, _ session: inout Session,
        _ scratch: inout CipherScratch
    ) throws(Refusal) -> KeyRecord {
        let name = ObjectName(key: intent.key, version: intent.version, role: .cipher)
        let handles: SuiteHandles
        let answer: KnownAnswer
        do throws(ObjectFailure) {
            // Looking for an object costs time with the number of objects, so only who may have made it before looks.
            if isResumed,
                let made = try factory.existingVersion(
                    name, intent.suite, material: intent.material, isFromDisk: false, session: &session)
            {
                handles = made
            } else {
                handles = try makeVersion(name, intent.suite, change.material, &session, &scratch)
            }
            answer = try factory.proof(name, handles, session: &session, scratch: &scratch)
        } catch {
            log.error("key version not made", metadata: intent.metadata.merging(["error": "\(error)"]) { old, _ in old })
            switch error {
            case .token(let cause):
                // The object may or may not be there: the intent stays open and is settled at the next binding or retry.
                try requireImportPair(change.material, of: intent)
                if cause.meansLost { declareLost(cause.description) }
                throw Refusal(.tokenUnavailable, retryAfter: 1_000)
            case .attributes, .storage:
                try mapping(ledger.refuse) { () throws(StoreError) in try store.fail(intent.operation) }
                throw Refusal(.tokenUnavailable, "the token did not make a key that can be trusted; the log says more")
            case .unproven:
                try endUnproven(intent)
                throw Refusal(
                    .incorrectNonce,
                    "the proof is not of this key, import token, nonce, key id and length; take the import token again for another try"
                )
            }
        }
        // Should the commit fail, the object waits for the open intent to be settled.
        return try ledger.alone { () throws(Refusal) in
            do throws(Refusal) {
                try requirePossible(intent, in: snapshots.current)
            } catch {
                // The key was disabled or deleted, or its alias taken, while the token was at work: what it made goes again.
                try mapping(ledger.refuse) { () throws(StoreError) in try undo(intent) }
                throw error
            }
            let entry = try mapping(ledger.refuse) { () throws(StoreError) in
                do throws(StoreError) {
                    return try complete(intent, change, handles, answer, isResumed: isResumed)
                } catch {
                    // So does what a caller may not make any more; left open, the next binding would complete it.
                    if error == .overtaken { try undo(intent) }
                    throw error
                }
            }
            snapshots.update { $0.with(entry) }
            ledger.alarm.setSoon()
            return entry.record(at: intent.created, snapshots.current.settings)
        }
    }

    /// Requires that the import token of a change is still there; without it the change ends, and the token is not to blame.
    private func requireImportPair(_ material: NewMaterial, of intent: Intent) throws(Refusal) {
        guard case .wrapped(_, let id) = material, importPair(id) == nil else { return }
        try mapping(ledger.refuse) { () throws(StoreError) in try store.fail(intent.operation) }
        _ = try ledger.openImportToken(id, at: time.now())
        throw Refusal(.keyUnavailable, "the private key of import token \(id) is not on the token: make another import token")
    }

    /// Ends a change that can no longer be made, and has what it made on the token destroyed.
    func undo(_ intent: Intent) throws(StoreError) {
        try store.fail(intent.operation, destroying: intent.orders(at: time.now(), "change refused"))
        wantOrders()
    }

    /// Requires that a change which was begun can still be made. Call it while nothing else changes.
    ///
    /// - Parameter snapshot: all keys as stored.
    func requirePossible(_ intent: Intent, in snapshot: Snapshot) throws(Refusal) {
        let now = time.now()
        if intent.version == Limits.firstVersion {
            try ledger.requireRoom(for: try IntentDetails.key(of: intent), at: now, snapshot)
        } else {
            guard let key = snapshot.keys[intent.key] else { throw Refusal(.denied) }
            // Whether it was time for it was judged when it was begun.
            try key.stored.require(.rotate, at: now, snapshot.settings, isEmergency: true)
        }
    }

    /// Writes the end of a change: the version, the key and the answer, all or nothing. Call it while nothing else changes.
    func complete(
        _ intent: Intent, _ change: Change?, _ handles: SuiteHandles?, _ knownAnswer: KnownAnswer, isResumed: Bool
    ) throws(StoreError) -> KeyEntry {
        var version = StoredVersion(
            key: intent.key, version: intent.version, suite: intent.suite, created: intent.created, knownAnswer: knownAnswer,
            wrapsReserved: WrapBudget.block)
        // The known answer is the first encryption. How many an earlier attempt has made nobody knows, so its block counts as used.
        let counter = isResumed ? WrapCounter(reserved: WrapBudget.block) : WrapCounter(used: 1, reserved: WrapBudget.block)
        var entry: KeyEntry
        var before: StoredKey?
        if intent.version == Limits.firstVersion {
            do throws(Refusal) { entry = KeyEntry(try IntentDetails.key(of: intent), versions: []) } catch {
                throw .corrupt("the intent of key \(intent.key) cannot be read: \(error.message)")
            }
        } else {
            guard let stored = try store.key(intent.key) else { throw .corrupt("key \(intent.key) has no row") }
            before = stored
            entry = snapshots.current.keys[intent.key] ?? KeyEntry(stored, versions: [])
            entry.stored = stored.revised(at: intent.created) {
                $0.version = intent.version
                $0.rotated = intent.created
            }
            version.reason = intent.rotation?.reason ?? ""
        }
        switch intent.material {
        case .generated: break
        case .imported(let bits):
            version.isImported = true
            version.bits = bits
        }
        entry.versions.append(VersionEntry(version, counter: counter, handles: handles))
        let reply: [UInt8]
        do throws(Refusal) {
            reply = try KeyLedger.encoded(entry.record(at: intent.created, snapshots.current.settings))
        } catch {
            throw .corrupt(error.message)
        }
        var note = intent.note(change, entry.stored, version)
        note.allowances = change?.allowances ?? []
        let isImported = version.isImported
        let now = time.now()
        var ended: [ImportTokenID] = []
        try store.commit(
            intent, key: entry.stored, from: before, version: version, reply: reply,
            note: note
        ) { connection throws(StoreError) in
            if isImported { ended = try connection.endExhaustedImportTokens(at: now) }
        }
        forget(importTokens: ended)
        return entry
    }
}

/// What an intent says beyond its columns: a new key as its record, a rotation as its reason.
enum IntentDetails {
    /// A new key as it is to be, in the form in which it is shown.
    static func record(of key: StoredKey, _ material: KeyMaterial = .generated) -> KeyRecord {
        var record = KeyRecord(
            id: key.id, name: key.name, state: .active, created: key.created, version: Limits.firstVersion,
            versionCreated: key.created, suite: .aesGCM)
        record.kind = key.kind
        record.isImported = key.isImported
        if case .imported(let bits) = material { record.bits = bits }
        record.description = key.description
        record.ring = key.ring
        record.tags = key.tags
        record.aliases = key.aliases
        record.createdBy = key.createdBy
        record.expires = key.expires
        record.rotationMonths = key.rotationMonths
        record.isRotationEnabled = key.isRotationEnabled
        record.dualControl = key.dualControl
        return record
    }

    /// A new version as it is to be.
    static func record(
        of intent: Intent, _ reason: TokenService.RotationReason, _ material: KeyMaterial
    ) -> VersionRecord {
        var record = VersionRecord(
            version: intent.version, created: intent.created, suite: intent.suite, isCurrent: true, wraps: 0, isUsable: true)
        record.reason = reason.text.isEmpty ? nil : reason.text
        if case .imported(let bits) = material {
            record.isImported = true
            record.bits = bits
        }
        return record
    }

    /// The new key of an intent. One without details, which an earlier version has left, has its name only.
    static func key(of intent: Intent) throws(Refusal) -> StoredKey {
        var key = StoredKey(
            id: intent.key, name: intent.name, state: .active, created: intent.created, version: Limits.firstVersion)
        guard !intent.details.isEmpty else { return key }
        let record = try KeyRecord.decode(intent.details.span.bytes)
        key.kind = record.kind ?? .root
        key.isImported = record.isImported
        key.description = record.description ?? ""
        key.ring = record.ring ?? StoredKey.defaultRing
        key.tags = record.tags
        key.aliases = record.aliases.sorted()
        key.createdBy = record.createdBy ?? ""
        key.expires = record.expires
        key.rotationMonths = record.rotationMonths ?? 0
        key.isRotationEnabled = record.isRotationEnabled
        key.dualControl = record.dualControl ?? []
        return key
    }
}

extension Intent {
    /// The new version of a rotation; nil where it cannot be read.
    var rotation: VersionRecord? { try? VersionRecord.decode(details.span.bytes) }

    /// Where the material of what it makes comes from.
    var material: KeyMaterial {
        if version == Limits.firstVersion {
            guard let record = try? KeyRecord.decode(details.span.bytes), record.isImported, let bits = record.bits else {
                return .generated
            }
            return .imported(bits: bits)
        }
        guard let rotation, rotation.isImported, let bits = rotation.bits else { return .generated }
        return .imported(bits: bits)
    }

    /// The objects that it makes.
    var objectNames: [ObjectName] { suite.names(ObjectName(key: key, version: version, role: .cipher)) }

    /// The orders to destroy what it has made.
    func orders(at now: UInt64, _ reason: String) -> [DestroyOrder] {
        objectNames.map { DestroyOrder($0, ordered: now, reason: reason) }
    }

    /// For the log.
    var metadata: Logger.Metadata {
        ["operation": "\(opcode.entry.name)", "key": "\(key)", "version": "\(version)"]
    }
}

extension KeyLedger {
    /// Whether a grant that a user may have had, by himself or by a group or unit, was revoked or has expired since a moment.
    func hasLost(_ uid: UInt32, since moment: UInt64) throws(Refusal) -> Bool {
        let now = time.now()
        return try read { connection throws(StoreError) in
            var isLost = false
            try connection.run(
                """
                SELECT EXISTS (SELECT 1 FROM access_grant WHERE (user_number IS NULL OR user_number = ?1)
                    AND (revoked_ms >= ?2 OR expires_ms BETWEEN ?2 AND ?3))
                """, [.integer(Int64(uid)), .unsigned(moment), .unsigned(now)]
            ) { row throws(StoreError) in isLost = row.integer(0) == 1 }
            return isLost
        }
    }

    /// Requires that an id which an importer may have chosen was no other key's: rights that were given on that one would be the new
    /// key's, and what was asked about it or, within the last day, changed would have one record for both.
    private func requireUnused(_ id: KeyID) throws(Refusal) {
        let isUsed = try read { connection throws(StoreError) in
            var isUsed = false
            try connection.run(
                """
                SELECT 1 WHERE EXISTS (SELECT 1 FROM access_grant WHERE key = ?1)
                    OR EXISTS (SELECT 1 FROM approval WHERE key = ?1)
                    OR EXISTS (SELECT 1 FROM intent WHERE key = ?1 AND state = 1)
                """, [.blob(id.bytes)]
            ) { _ throws(StoreError) in isUsed = true }
            return isUsed
        }
        guard !isUsed else { throw Refusal(.alreadyExists, "the id \(id) was another key's: choose a fresh one") }
    }

    /// Requires that a new key can be made as it is described: its aliases free, its ring there, its date to come.
    func requireRoom(for key: StoredKey, at now: UInt64, _ snapshot: Snapshot) throws(Refusal) {
        guard snapshot.keys[key.id] == nil else { throw Refusal(.alreadyExists, "there is a key \(key.id) already") }
        // Others' ids are random.
        if key.isImported { try requireUnused(key.id) }
        guard UInt64(key.tags.count) <= snapshot.settings[.maximumTags] else {
            throw Refusal(.limitReached, "a key has at most \(snapshot.settings[.maximumTags]) tags")
        }
        guard UInt64(key.aliases.count) <= snapshot.settings[.maximumAliases] else {
            throw Refusal(.limitReached, "a key has at most \(snapshot.settings[.maximumAliases]) aliases")
        }
        guard Set(key.aliases).count == key.aliases.count else { throw Refusal(.invalidValue, "an alias is given twice") }
        for alias in key.aliases where snapshot.aliases[alias] != nil {
            throw Refusal(.alreadyExists, "the alias '\(alias)' is taken")
        }
        if let expires = key.expires, expires <= now {
            throw Refusal(.invalidValue, "the expiration date \(DateText(expires)) has passed")
        }
        let ring = key.ring
        guard try read({ connection throws(StoreError) in try connection.hasRing(ring) }) else {
            throw Refusal(.notFound, "there is no key ring '\(ring)': create it first")
        }
    }
}
