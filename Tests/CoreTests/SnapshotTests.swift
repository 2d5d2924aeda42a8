import ClavigerWire
import Testing

@testable import ClavigerCore

@Suite struct SnapshotTests {
    static func key(_ low: UInt64, name: String, created: UInt64) -> KeyEntry {
        let id = KeyID(high: 1, low: low)
        return KeyEntry(
            StoredKey(id: id, name: name, state: .active, created: created, version: 1), versions: [version(1, of: id, created)])
    }

    static func version(_ number: UInt32, of id: KeyID, _ created: UInt64) -> VersionEntry {
        VersionEntry(
            StoredVersion(
                key: id, version: number, suite: .aesGCM, created: created, knownAnswer: .absent, wrapsReserved: 0),
            counter: WrapCounter(reserved: 0))
    }

    static func snapshot(_ keys: [KeyEntry]) -> Snapshot {
        Snapshot(epoch: 1, generation: 1, keys: Dictionary(uniqueKeysWithValues: keys.map { ($0.id, $0) }))
    }

    @Test func resolvesByIDAndByName() throws {
        let a = SnapshotTests.key(1, name: "alpha", created: 1)
        let b = SnapshotTests.key(2, name: "beta", created: 2)
        let snapshot = SnapshotTests.snapshot([a, b])
        #expect(try snapshot.resolve(.id(a.id)).name == "alpha")
        #expect(try snapshot.resolve(.name("beta")).id == b.id)
        // Unknown by id and unknown by name are the same bytes.
        #expect(throws: Refusal(.denied)) { try snapshot.resolve(.id(KeyID(high: 1, low: 3))) }
        #expect(throws: Refusal(.denied)) { try snapshot.resolve(.name("gamma")) }
        #expect(throws: Refusal(.denied)) { try snapshot.resolve(.name("Alpha")) }
    }

    @Test func aNameOfSeveralKeysIsAmbiguousAndTheIDsAreNamed() {
        let keys = (1...10).map { SnapshotTests.key(UInt64($0), name: "same", created: UInt64(20 - $0)) }
        let refusal = #expect(throws: Refusal.self) { try SnapshotTests.snapshot(keys).resolve(.name("same")) }
        #expect(refusal?.code == .ambiguousName)
        for key in keys.prefix(8) { #expect(refusal?.message.contains("\(key.id)") == true) }
        #expect(refusal?.message.contains("\(keys[8].id)") == false)
        #expect(refusal?.message.contains("and 2 more") == true)
    }

    @Test func aliasesResolveAndMustNotMeanAnotherKeyThanANameDoes() throws {
        var a = SnapshotTests.key(1, name: "alpha", created: 1)
        var b = SnapshotTests.key(2, name: "beta", created: 2)
        a.stored.aliases = ["first", "beta"]
        b.stored.aliases = ["second", "gamma"]
        let c = SnapshotTests.key(3, name: "gamma", created: 3)
        let snapshot = SnapshotTests.snapshot([a, b, c])
        #expect(try snapshot.resolve(.name("first")).id == a.id)
        #expect(try snapshot.resolve(.name("second")).id == b.id)
        for (name, ids) in [("beta", [a.id, b.id]), ("gamma", [b.id, c.id])] {
            let refusal = #expect(throws: Refusal.self) { try snapshot.resolve(.name(name)) }
            #expect(refusal?.code == .ambiguousName)
            for id in ids { #expect(refusal?.message.contains("\(id)") == true) }
        }
        // A key's own name as its alias is no second meaning.
        b.stored.aliases = ["beta"]
        #expect(try SnapshotTests.snapshot([b]).resolve(.name("beta")).id == b.id)
        // Destroyed keys keep their names and aliases.
        b.stored.state = .destroyed
        #expect(try SnapshotTests.snapshot([b]).resolve(.name("beta")).id == b.id)
    }

    @Test func versionsByNumber() {
        var key = SnapshotTests.key(1, name: "a", created: 1)
        for number in UInt32(2)...3 {
            key.versions.append(SnapshotTests.version(number, of: key.id, 5))
        }
        for number in UInt32(1)...3 { #expect(key.version(number)?.number == number) }
        for number in [0, 4, UInt32.max] { #expect(key.version(number) == nil) }
        #expect(key.current.number == 3)
        let record = key.record(at: 0, SettingValues())
        #expect(record.version == 3 && record.versionCreated == 5 && record.created == 1)
    }

    /// A snapshot grown key by key is the one made of all keys at once, whatever the order.
    @Test(arguments: 0..<10) func growingIsTheSameAsBuilding(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var grown = SnapshotTests.snapshot([])
        var all: [KeyEntry] = []
        for low in 0..<60 {
            var key = SnapshotTests.key(
                UInt64(low), name: "n\(Int.random(in: 0...20, using: &random))", created: .random(in: 0...9, using: &random))
            grown = grown.with(key)
            all.append(key)
            if Bool.random(using: &random) {
                key.versions.append(SnapshotTests.version(2, of: key.id, 77))
                grown = grown.with(key)
                all[all.count - 1] = key
            }
        }
        // Names and aliases change, and keys go.
        for index in all.indices {
            switch Int.random(in: 0..<4, using: &random) {
            case 0: all[index].stored.name = "m\(Int.random(in: 0...20, using: &random))"
            case 1: all[index].stored.aliases = ["a\(index)", "b\(index)"]
            case _: continue
            }
            grown = grown.with(all[index])
            if Bool.random(using: &random) {
                all[index].stored.aliases.removeAll()
                grown = grown.with(all[index])
            }
        }
        for key in all where key.id.low % 7 == 3 { grown = grown.without(key.id) }
        all.removeAll { $0.id.low % 7 == 3 }
        let built = SnapshotTests.snapshot(all)
        #expect(grown.order == built.order)
        #expect(grown.aliases == built.aliases)
        #expect(grown.names == built.names)
        func counts(_ snapshot: Snapshot) -> [KeyID: Int] {
            Dictionary(uniqueKeysWithValues: snapshot.keys.values.map { ($0.id, $0.versions.count) })
        }
        #expect(counts(grown) == counts(built))
        #expect(grown.order == all.sorted { ($0.created, $0.id) < ($1.created, $1.id) }.map(\.id))
        #expect(grown.epoch > UInt64(all.count))
        #expect(!grown.aliases.isEmpty || all.allSatisfy { $0.stored.aliases.isEmpty })
    }

    /// Pages read while keys come and go show every key that was there all the time exactly once, in order.
    @Test(arguments: 0..<40) func pagesNeitherHideNorRepeat(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed) + 1_000)
        var keys: [KeyID: KeyEntry] = [:]
        var next: UInt64 = 0
        func add() {
            let key = SnapshotTests.key(
                UInt64.random(in: 0...UInt64.max, using: &random), name: "k\(next)", created: .random(in: 0...50, using: &random))
            next += 1
            keys[key.id] = key
        }
        for _ in 0..<Int.random(in: 0...120, using: &random) { add() }
        let atFirst = Set(keys.keys)
        var removed: Set<KeyID> = []
        var seen: [KeyEntry] = []
        var cursor: QueryCursor?
        while true {
            let snapshot = Snapshot(epoch: 1, generation: 1, keys: keys)
            // The model: all keys after the cursor, by creation time and id.
            let model = keys.values.sorted { ($0.created, $0.id) < ($1.created, $1.id) }
                .filter { key in seen.last.map { (key.created, key.id) > ($0.created, $0.id) } ?? true }
            let limit = Int.random(in: 1...9, using: &random)
            let page = snapshot.page(KeyQuery(), by: .standard, after: cursor, limit: limit, at: 0) { _ in true }
            #expect(page.keys.map(\.id) == model.prefix(limit).map(\.id))
            #expect(page.hasMore == (model.count > limit))
            guard let last = page.keys.last else { break }
            seen += page.keys
            let end = QueryCursor(QuerySort.standard.place(of: last.stored, at: 0))
            cursor = try QueryCursor(end.bytes(for: .standard), for: .standard)
            for _ in 0..<Int.random(in: 0...3, using: &random) { add() }
            for id in keys.keys.filter({ $0.low % 11 == UInt64(seen.count % 11) }).prefix(2) {
                keys[id] = nil
                removed.insert(id)
            }
            if seen.count > 1_000 { break }
        }
        #expect(Set(seen.map(\.id)).count == seen.count)
        #expect(zip(seen, seen.dropFirst()).allSatisfy { ($0.created, $0.id) < ($1.created, $1.id) })
        #expect(atFirst.subtracting(removed).isSubset(of: seen.map(\.id)))
    }

    @Test func theBoxPublishesWhole() {
        let box = SnapshotBox()
        #expect(box.current.keys.isEmpty && box.current.epoch == 0)
        let before = box.current
        box.update { $0.with(SnapshotTests.key(1, name: "a", created: 1)) }
        #expect(before.keys.isEmpty && box.current.keys.count == 1 && box.current.epoch == 1)
    }
}

@Suite struct KeyNameTests {
    @Test(arguments: [
        "ab", String(repeating: "x", count: 90), "a b", "日本", "a/b:c*d", "e\u{301}e", "0", "ab\u{e9}",
        "6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c",
    ])
    func namesThatPass(name: String) {
        let isLongEnough = name.unicodeScalars.count >= 2
        #expect(accepted(name) == isLongEnough)
    }

    @Test(arguments: [
        "", "a", String(repeating: "x", count: 91), String(repeating: "é", count: 91), " ab", "ab ", "\u{a0}ab", "ab\u{3000}",
        "a\nb", "a\u{0}b", "a\u{7f}b", "a\u{202e}b", "a\u{200b}b", "a\u{feff}b", "a\u{2028}b", "a\u{e000}b", "a\u{378}b",
        "6f1d3c5a-9b7e-4a02-8c41-d2e3f4a5b6c7", "6F1D3C5A-9B7E-4A02-8C41-D2E3F4A5B6C7",
    ])
    func namesThatDoNot(name: String) {
        #expect(!accepted(name))
    }

    private func accepted(_ name: String) -> Bool {
        do throws(Refusal) {
            try KeyName.check(name)
            return true
        } catch {
            #expect(error.code == .invalidName)
            return false
        }
    }
}
