import ClavigerWire
import Cryptoki

// From the database to the snapshot.
extension KeyLedger {
    /// Publishes all keys as the database has them now, with the handles of a token generation.
    ///
    /// Read again under the ledger's lock: keys may have been disabled or deleted while the token's objects were being proven.
    func publish(generation: UInt64, _ handles: [ObjectName: SuiteHandles]) throws(TokenFailure) {
        try alone { () throws(TokenFailure) in
            var keys = try load()
            for id in keys.keys {
                guard var key = keys[id] else { continue }
                for index in key.versions.indices where key.needsObject(key.versions[index]) {
                    let name = ObjectName(key: id, version: key.versions[index].number, role: .cipher)
                    key.versions[index].handles = handles[name]
                }
                keys[id] = key
            }
            let settings = try mapping({ (error: StoreError) in TokenFailure(error) }) { () throws(StoreError) in
                try store.settings()
            }
            let loaded = keys
            snapshots.update { Snapshot(epoch: $0.epoch + 1, generation: generation, keys: loaded, settings: settings) }
            alarm.setSoon()
        }
    }

    /// All keys as stored, without handles yet. Counters of versions that this process knows go on counting.
    func load() throws(TokenFailure) -> [KeyID: KeyEntry] {
        let before = snapshots.current
        let (stored, versions, uses, registrations, approvals) = try mapping({ (error: StoreError) in TokenFailure(error) }) {
            () throws(StoreError) in
            (
                try store.keys(), try store.versions(), try store.uses(), try store.registrationCounts(),
                try store.withConnection { connection throws(StoreError) in try connection.openApprovals(at: time.now()) }
            )
        }
        var keys: [KeyID: KeyEntry] = [:]
        for key in stored {
            var entry = KeyEntry(key, versions: [])
            entry.registrations = registrations[key.id] ?? 0
            keys[key.id] = entry
        }
        for approval in approvals {
            if let key = approval.key { keys[key]?.approvals.append(OpenApproval(approval)) }
        }
        var written: [ObjectName: VersionUse.Counts] = [:]
        for use in uses { written[ObjectName(key: use.key, version: use.version, role: .cipher)] = use.counts }
        for version in versions {
            let known = before.keys[version.key]?.version(version.version)
            let counts = written[ObjectName(key: version.key, version: version.version, role: .cipher)]
            keys[version.key]?.versions.append(
                VersionEntry(
                    version, counter: known?.counter ?? WrapCounter(reserved: version.wrapsReserved),
                    use: known?.use ?? VersionUse(counts ?? VersionUse.Counts())))
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
