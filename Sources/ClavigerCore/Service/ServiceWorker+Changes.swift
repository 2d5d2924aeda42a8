import ClavigerWire

// What the handlers of changes share.
extension ServiceWorker {
    /// Keys, settings and rings as they are now.
    ///
    /// - Throws: why the token does not serve, as long as the database has not been proven to be the token's.
    func keys() throws(Refusal) -> Snapshot {
        let snapshot = service.snapshots.current
        guard snapshot.generation > 0 else { throw service.token.refusal ?? Refusal(.sealed) }
        return snapshot
    }

    /// Requires that keys are known, as `keys` does.
    func requireKeys() throws(Refusal) { _ = try keys() }

    /// A change of one key's own row.
    ///
    /// - Parameter changes: what the audit log is to say; a change that changes nothing leaves the key's revision alone.
    func changeKey(
        _ key: KeyEntry, _ call: Call, at now: UInt64, _ settings: SettingValues, _ changes: [ChangeNote.Change],
        _ edit: (inout StoredKey) -> Void
    ) -> Decision<KeyRecord> {
        var edited = key.stored
        edit(&edited)
        let isChanged = edited != key.stored
        let after = isChanged ? key.stored.revised(at: now, edit) : key.stored
        var entry = key
        entry.stored = after
        let note = ChangeNote(event: call.event, caller: call.caller, key: key.id, ring: after.ring, changes: changes)
        return Decision(
            note: note, reply: entry.record(at: now, settings),
            publish: { snapshot in snapshot.changing(after.id) { $0.stored = after } },
            write: { connection throws(StoreError) in
                if isChanged { try connection.update(after, from: key.stored) }
            })
    }
}

extension Call {
    /// The opcode's name, which is the event's too.
    var event: String { request.opcode.entry.name }

    /// What is said of a cursor that no list has given.
    static let foreignCursor = "the cursor is not one of this list; begin the list again without it"
}

extension KeyLedger {
    /// Reads from the database.
    func read<R: Sendable>(_ body: (SQLiteConnection) throws(StoreError) -> R) throws(Refusal) -> R {
        try mapping(refuse) { () throws(StoreError) in try store.withConnection(body) }
    }
}

extension Decision {
    /// The same change with another answer.
    func replying<Other: WireMessage>(_ reply: Other) -> Decision<Other> {
        var other = Decision<Other>(note: note, reply: reply, publish: publish, write: write)
        other.consequences = consequences
        return other
    }
}

extension StoredKey {
    /// The key after a change, its revision raised.
    func revised(at now: UInt64, _ edit: (inout StoredKey) -> Void) -> StoredKey {
        var next = self
        edit(&next)
        next.updated = now
        next.revision += 1
        return next
    }
}

extension Snapshot {
    /// The snapshot with these keys as they are stored now, made at once: one for each key would cost as much again for each.
    func storing(_ changed: [StoredKey]) -> Snapshot {
        guard !changed.isEmpty else { return self }
        var keys = keys
        for key in changed { keys[key.id]?.stored = key }
        return Snapshot(epoch: epoch + 1, generation: generation, keys: keys, settings: settings)
    }

    /// The snapshot with one key changed; as it is when there is no such key.
    func changing(_ id: KeyID, _ edit: (inout KeyEntry) -> Void) -> Snapshot {
        guard var key = keys[id] else { return self }
        edit(&key)
        return with(key)
    }
}
