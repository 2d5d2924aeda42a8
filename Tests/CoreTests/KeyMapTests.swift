import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

/// The map of a snapshot's keys is a dictionary in all but what a changed copy costs.
@Suite struct KeyMapTests {
    private static func key(_ id: KeyID, _ name: String) -> KeyEntry {
        KeyEntry(StoredKey(id: id, name: name, state: .active, created: 1, version: 1), versions: [])
    }

    @Test func aCopyDoesNotChangeTheOriginal() {
        var random = SeededRandom(seed: SeededRandom.seed(0x6b6d))
        var model: [KeyID: String] = [:]
        var map = KeyMap()
        for step in 0..<3_000 {
            // Few ids, so that all parts are met again.
            let id = KeyID(high: 0x4000, low: UInt64.random(in: 0..<700, using: &random))
            let (before, count) = (map, model.count)
            let old = model[id]
            if Int.random(in: 0..<3, using: &random) == 0 {
                map[id] = nil
                model[id] = nil
            } else {
                map[id] = KeyMapTests.key(id, "\(step)")
                model[id] = "\(step)"
            }
            #expect(before.count == count && before[id]?.name == old)
            #expect(map.count == model.count && map[id]?.name == model[id] && map.isEmpty == model.isEmpty)
        }
        #expect(Dictionary(uniqueKeysWithValues: map.values.map { ($0.id, $0.name) }) == model)
        #expect(map.values.count { _ in true } == model.count)
    }
}
