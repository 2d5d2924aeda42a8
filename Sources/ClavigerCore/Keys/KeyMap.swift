import ClavigerWire

/// Keys by their ids, as a snapshot has them: a value, of which a changed copy is cheap.
///
/// A dictionary of all keys would be copied as a whole with every change, and every string of every key counted up. Here the copy shares
/// all parts but the one with the changed key, and a part holds a reference a key.
package struct KeyMap: Sendable {
    private final class Box: Sendable {
        let entry: KeyEntry

        init(_ entry: KeyEntry) { self.entry = entry }
    }

    /// So many parts: of 100,000 keys a change copies some 400 references, and of a few the parts themselves cost next to nothing.
    private static let partCount = 256

    private var parts: [[KeyID: Box]]
    /// How many keys there are.
    package private(set) var count: Int

    package init(_ keys: [KeyID: KeyEntry] = [:]) {
        parts = Array(repeating: [:], count: KeyMap.partCount)
        count = keys.count
        for (id, key) in keys { parts[KeyMap.part(of: id)][id] = Box(key) }
    }

    // Ids are random.
    private static func part(of id: KeyID) -> Int { Int(id.low % UInt64(partCount)) }

    package var isEmpty: Bool { count == 0 }

    package subscript(id: KeyID) -> KeyEntry? {
        get { parts[KeyMap.part(of: id)][id]?.entry }
        set {
            let part = KeyMap.part(of: id)
            let before = parts[part].count
            parts[part][id] = newValue.map { Box($0) }
            count += parts[part].count - before
        }
    }

    /// All keys, in no order.
    package var values: some Sequence<KeyEntry> { parts.lazy.flatMap(\.values).map(\.entry) }
}
