import ClavigerWire
import Cryptoki
import Synchronization

/// One version of a key, with its object's handle.
package struct VersionEntry: Sendable {
    package let number: UInt32
    package let suite: Suite
    /// In milliseconds since 1970.
    package let created: UInt64
    package let knownAnswer: KnownAnswer
    package let counter: WrapCounter
    /// The objects that have proven to be this version; nil when none have. Valid in the snapshot's token generation only.
    package var handles: SuiteHandles?
}

/// One key with all its versions.
package struct KeyEntry: Sendable {
    package let id: KeyID
    package var name: String
    package var state: KeyState
    /// In milliseconds since 1970.
    package let created: UInt64
    /// Ascending, without a gap, from version 1.
    package var versions: [VersionEntry]

    /// The newest version, the one that wraps.
    package var current: VersionEntry { versions[versions.count - 1] }

    /// The version of this number.
    package func version(_ number: UInt32) -> VersionEntry? {
        guard number >= Limits.firstVersion, Int(number) <= versions.count else { return nil }
        return versions[Int(number) - 1]
    }

    /// As shown to callers.
    package var record: KeyRecord {
        KeyRecord(
            id: id, name: name, state: state, created: created, version: current.number, versionCreated: current.created,
            suite: current.suite)
    }
}

/// Keys, versions and handles at one moment: immutable, so a request that began with it ends with it.
package final class Snapshot: Sendable {
    /// Rises with every change that is published.
    package let epoch: UInt64
    /// The token generation in which the handles are valid.
    package let generation: UInt64
    /// All keys.
    package let keys: [KeyID: KeyEntry]
    /// The ids of the keys that carry a name.
    package let names: [String: [KeyID]]
    /// All keys by creation time, then id: the order of lists.
    package let order: [KeyID]

    /// A snapshot of these keys.
    package init(epoch: UInt64, generation: UInt64, keys: [KeyID: KeyEntry]) {
        self.epoch = epoch
        self.generation = generation
        self.keys = keys
        names = Dictionary(grouping: keys.values.map { ($0.name, $0.id) }, by: { $0.0 }).mapValues { $0.map(\.1).sorted() }
        order = keys.values.sorted { ($0.created, $0.id) < ($1.created, $1.id) }.map(\.id)
    }

    private init(replacing key: KeyEntry, in old: Snapshot) {
        epoch = old.epoch + 1
        generation = old.generation
        var keys = old.keys
        let before = keys.updateValue(key, forKey: key.id)
        self.keys = keys
        if before == nil {
            var names = old.names
            names[key.name] = ((names[key.name] ?? []) + [key.id]).sorted()
            self.names = names
            // New keys are nearly always the youngest: look for the place from the end.
            var place = old.order.count
            while place > 0, let other = keys[old.order[place - 1]], (other.created, other.id) > (key.created, key.id) {
                place -= 1
            }
            var order = old.order
            order.insert(key.id, at: place)
            self.order = order
        } else {
            names = old.names
            order = old.order
        }
    }

    /// The snapshot with one key added or changed; a key's name and creation time never change here.
    package func with(_ key: KeyEntry) -> Snapshot { Snapshot(replacing: key, in: self) }

    /// The key that a caller means.
    ///
    /// - Throws: `denied` when there is none, `ambiguousName` with the ids when several carry the name.
    package func resolve(_ reference: KeyReference) throws(Refusal) -> KeyEntry {
        switch reference {
        case .id(let id):
            guard let key = keys[id] else { throw Refusal(.denied) }
            return key
        case .name(let name):
            let ids = names[name] ?? []
            guard ids.count <= 1 else {
                let shown = ids.prefix(8).map(\.description).joined(separator: ", ")
                let more = ids.count > 8 ? " and \(ids.count - 8) more" : ""
                throw Refusal(.ambiguousName, "\(ids.count) keys are named '\(name)': \(shown)\(more); name one by its id")
            }
            guard let id = ids.first, let key = keys[id] else { throw Refusal(.denied) }
            return key
        }
    }
}

/// The snapshot that new requests read.
package final class SnapshotBox: Sendable {
    private let box: Mutex<Snapshot>

    package init() {
        box = Mutex(Snapshot(epoch: 0, generation: 0, keys: [:]))
    }

    /// The snapshot now.
    package var current: Snapshot { box.withLock { $0 } }

    /// Publishes what `change` makes of the present snapshot; the epoch rises.
    package func update(_ change: (Snapshot) -> Snapshot) {
        box.withLock { $0 = change($0) }
    }
}
