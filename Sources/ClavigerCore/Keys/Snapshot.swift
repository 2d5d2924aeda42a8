import ClavigerWire
import Cryptoki
import Synchronization

/// Keys, versions, handles and settings at one moment: immutable, so a request that began with it ends with it.
package final class Snapshot: Sendable {
    /// Rises with every change that is published.
    package let epoch: UInt64
    /// The token generation in which the handles are valid; 0 before the token was ever held.
    package let generation: UInt64
    /// All keys.
    package let keys: KeyMap
    /// The ids of the keys that carry a name.
    package let names: [String: [KeyID]]
    /// The key that an alias stands for.
    package let aliases: [String: KeyID]
    /// All keys by creation time, then id: the order of lists.
    package let order: [KeyID]
    /// The instance's settings.
    package let settings: SettingValues

    /// A snapshot of these keys.
    package init(epoch: UInt64, generation: UInt64, keys: KeyMap, settings: SettingValues = SettingValues()) {
        self.epoch = epoch
        self.generation = generation
        self.keys = keys
        self.settings = settings
        let all = Array(keys.values)
        names = Dictionary(grouping: all.map { ($0.name, $0.id) }, by: { $0.0 }).mapValues { $0.map(\.1).sorted() }
        aliases = Dictionary(
            all.flatMap { key in key.stored.aliases.map { ($0, key.id) } }, uniquingKeysWith: { first, _ in first })
        order = all.sorted { ($0.created, $0.id) < ($1.created, $1.id) }.map(\.id)
    }

    /// A snapshot of these keys.
    package convenience init(
        epoch: UInt64, generation: UInt64, keys: [KeyID: KeyEntry], settings: SettingValues = SettingValues()
    ) {
        self.init(epoch: epoch, generation: generation, keys: KeyMap(keys), settings: settings)
    }

    private init(_ old: Snapshot, replacing id: KeyID, by key: KeyEntry?) {
        epoch = old.epoch + 1
        generation = old.generation
        settings = old.settings
        var keys = old.keys
        let before = keys[id]
        keys[id] = key
        self.keys = keys
        names = Snapshot.names(old.names, before, key)
        aliases = Snapshot.aliases(old.aliases, before, key)
        switch (before, key) {
        case (nil, let key?): order = Snapshot.order(old.order, inserting: key, keys)
        case (.some, nil): order = old.order.filter { $0 != id }
        case (.some, .some), (nil, nil): order = old.order
        }
    }

    private init(_ old: Snapshot, settings: SettingValues) {
        epoch = old.epoch + 1
        generation = old.generation
        keys = old.keys
        names = old.names
        aliases = old.aliases
        order = old.order
        self.settings = settings
    }

    private static func names(
        _ names: [String: [KeyID]], _ before: KeyEntry?, _ after: KeyEntry?
    ) -> [String: [KeyID]] {
        guard before?.name != after?.name else { return names }
        var names = names
        if let before {
            let rest = (names[before.name] ?? []).filter { $0 != before.id }
            names[before.name] = rest.isEmpty ? nil : rest
        }
        if let after { names[after.name] = ((names[after.name] ?? []) + [after.id]).sorted() }
        return names
    }

    private static func aliases(_ aliases: [String: KeyID], _ before: KeyEntry?, _ after: KeyEntry?) -> [String: KeyID] {
        guard before?.stored.aliases ?? [] != after?.stored.aliases ?? [] else { return aliases }
        var aliases = aliases
        for alias in before?.stored.aliases ?? [] { aliases[alias] = nil }
        if let after { for alias in after.stored.aliases { aliases[alias] = after.id } }
        return aliases
    }

    private static func order(_ order: [KeyID], inserting key: KeyEntry, _ keys: KeyMap) -> [KeyID] {
        // New keys are nearly always the youngest: look for the place from the end.
        var place = order.count
        while place > 0, let other = keys[order[place - 1]], (other.created, other.id) > (key.created, key.id) { place -= 1 }
        var order = order
        order.insert(key.id, at: place)
        return order
    }

    /// The snapshot with one key added or changed. A key's creation time never changes.
    package func with(_ key: KeyEntry) -> Snapshot { Snapshot(self, replacing: key.id, by: key) }

    /// The snapshot without a key.
    package func without(_ id: KeyID) -> Snapshot { Snapshot(self, replacing: id, by: nil) }

    /// The snapshot with other settings.
    package func with(_ settings: SettingValues) -> Snapshot { Snapshot(self, settings: settings) }

    /// The key that a caller means: by its id, or else by alias and name together, of which exactly one key must be meant.
    ///
    /// - Throws: `denied` when there is none, `ambiguousName` with the ids when there are several.
    package func resolve(_ reference: KeyReference) throws(Refusal) -> KeyEntry {
        switch reference {
        case .id(let id):
            guard let key = keys[id] else { throw Refusal(.denied) }
            return key
        case .name(let name):
            var ids = names[name] ?? []
            if let meant = aliases[name], !ids.contains(meant) { ids = (ids + [meant]).sorted() }
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
        box = Mutex(Snapshot(epoch: 0, generation: 0, keys: KeyMap()))
    }

    /// The snapshot now.
    package var current: Snapshot { box.withLock { $0 } }

    /// Publishes what `change` makes of the present snapshot; the epoch rises. All that requests see changes here and nowhere else.
    package func update(_ change: (Snapshot) -> Snapshot) {
        box.withLock { $0 = change($0) }
    }
}
