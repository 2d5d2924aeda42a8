import ClavigerWire

// How material and keys end: what is written, ordered and published, whoever decides it.
extension KeyEntry {
    /// The names of the objects that the versions have on the token.
    package var objectNames: [ObjectName] { versions.filter(needsObject).flatMap { names(of: $0) } }

    /// The names of the objects that one version consists of.
    package func names(of version: VersionEntry) -> [ObjectName] {
        version.suite.names(ObjectName(key: id, version: version.number, role: .cipher))
    }

    /// A change of one version's state; the objects of a destroyed one are ordered to be destroyed.
    func changing(_ version: VersionEntry, by caller: Caller, event: String, at now: UInt64) -> Decision<VersionRecord> {
        let old = versions[Int(version.number) - 1]
        let isEnd = version.state == .destroyed && needsObject(old)
        let orders = isEnd ? names(of: old).map { DestroyOrder($0, ordered: now, reason: "version destroyed") } : []
        let before = stored
        let after = before.revised(at: now) { _ in }
        var entry = self
        entry.stored = after
        entry.versions[Int(version.number) - 1] = version
        let note = ChangeNote(
            event: event, caller: caller, key: id, version: version.number, ring: ring,
            changes: [.init("version-state", from: old.state.name, to: version.state.name)])
        let changed = entry
        return Decision(note: note, reply: version.record(of: entry), publish: { $0.with(changed) }) {
            connection throws(StoreError) in
            try connection.update(version.stored)
            try connection.update(after, from: before)
            for order in orders { try connection.insert(order) }
        }
    }

    /// The end of the restore window: the material goes, what is known of the key stays.
    func wipe(at now: UInt64) -> Decision<EmptyMessage> {
        let orders = objectNames.map { DestroyOrder($0, ordered: now, reason: "key wiped") }
        let before = stored
        let after = before.revised(at: now) { $0.isWiped = true }
        var entry = self
        entry.stored = after
        for index in entry.versions.indices { entry.versions[index].handles = nil }
        let note = ChangeNote(
            event: "key-wipe", caller: nil, key: id, ring: ring, changes: [.init("material", from: "kept", to: "wiped")])
        let (id, changed) = (id, entry)
        return Decision(note: note, reply: EmptyMessage(), publish: { $0.with(changed) }) { connection throws(StoreError) in
            try connection.update(after, from: before)
            try connection.run("UPDATE key_version SET sealed = NULL WHERE key = ?", [.blob(id.bytes)])
            try connection.abandonChanges(of: id, at: now)
            for order in orders { try connection.insert(order) }
        }
    }

    /// The end of the key: its rows go at once, its objects as soon as nobody holds their handles.
    ///
    /// - Parameter caller: who purges it; nil for the daemon itself.
    func purge(by caller: Caller?, event: String, at now: UInt64) -> Decision<EmptyMessage> {
        let orders = objectNames.map { DestroyOrder($0, ordered: now, reason: "key purged") }
        let note = ChangeNote(
            event: event, caller: caller, key: id, ring: ring,
            changes: [.init("name", from: name, to: nil), .init("state", from: stored.state.name, to: nil)])
        let id = id
        return Decision(note: note, reply: EmptyMessage(), publish: { $0.without(id) }) { connection throws(StoreError) in
            try connection.abandonChanges(of: id, at: now)
            for order in orders { try connection.insert(order) }
            // Nobody can approve any more what was asked about the key; what was decided stays on record.
            try connection.cancelApprovals(of: id, at: now)
            for table in ["version_use", "key_tag", "alias", "registration", "key_version"] {
                try connection.run("DELETE FROM \(table) WHERE key = ?", [.blob(id.bytes)])
            }
            let changed = try connection.run("DELETE FROM key WHERE id = ?", [.blob(id.bytes)])
            guard changed == 1 else { throw .corrupt("key \(id) has no row") }
        }
    }
}

extension SQLiteConnection {
    /// Ends what was asked about a key and not decided.
    func cancelApprovals(of key: KeyID, at now: UInt64) throws(StoreError) {
        try run("UPDATE approval SET state = 2, decided_ms = ? WHERE key = ? AND state = 0", [.unsigned(now), .blob(key.bytes)])
    }

    /// Ends the changes of a key that were begun and not ended: what they may have made on the token goes with the key.
    func abandonChanges(of key: KeyID, at now: UInt64) throws(StoreError) {
        var names: [ObjectName] = []
        try run("SELECT version, suite FROM intent WHERE key = ? AND state = 0", [.blob(key.bytes)]) { row throws(StoreError) in
            let suite: Suite = try row.value(1, "an intent's suite")
            names += suite.names(ObjectName(key: key, version: row.number(0), role: .cipher))
        }
        for name in names { try insert(DestroyOrder(name, ordered: now, reason: "change abandoned")) }
        try run("UPDATE intent SET state = 2 WHERE key = ? AND state = 0", [.blob(key.bytes)])
    }
}
