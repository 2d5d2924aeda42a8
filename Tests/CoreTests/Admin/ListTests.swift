import ClavigerWire
import Support
import Testing

@testable import ClavigerCore

extension TestInstance {
    /// Has the service hold so many keys more than the token does, for lists of them: no call here enters the token.
    ///
    /// - Parameter fill: gives a key what it is to have beside name and time of creation.
    func pretend(_ count: Int, _ fill: (inout StoredKey, Int) -> Void = { _, _ in }) throws -> [KeyID] {
        let box = try service.snapshots
        var keys = box.current.keys
        var made: [KeyID] = []
        for number in 0..<count {
            var stored = StoredKey(
                id: KeyID(high: 0x4000, low: UInt64(number) &* 0x9e37_79b9_7f4a_7c15), name: "key \(number)", state: .active,
                created: UInt64(1_000 + number), version: 1)
            fill(&stored, number)
            let version = StoredVersion(
                key: stored.id, version: 1, suite: .aesGCM, created: stored.created, knownAnswer: .absent, wrapsReserved: 0)
            keys[stored.id] = KeyEntry(stored, versions: [VersionEntry(version, counter: WrapCounter(reserved: 0))])
            made.append(stored.id)
        }
        let all = keys
        box.update { Snapshot(epoch: $0.epoch + 1, generation: $0.generation, keys: all, settings: $0.settings) }
        return made
    }

    /// All keys of a list, page by page, and how many each page had.
    func list(
        limit: UInt32? = nil, sort: String? = nil, _ fill: (inout KeyFilter) -> Void = { _ in }
    ) throws -> (ids: [KeyID], pages: [Int]) {
        var filter = KeyFilter()
        fill(&filter)
        var ids: [KeyID] = []
        var pages: [Int] = []
        var cursor: [UInt8]?
        repeat {
            let page: KeyListReply = try reply(
                .keyList, KeyListRequest(limit: limit, cursor: cursor, filter: filter, sort: sort))
            ids += page.keys.map(\.id)
            pages.append(page.keys.count)
            cursor = page.next
        } while cursor != nil
        return (ids, pages)
    }

    func count(_ fill: (inout KeyFilter) -> Void = { _ in }) throws -> UInt64 {
        var filter = KeyFilter()
        fill(&filter)
        return try reply(.keyCount, KeyCountRequest(filter: filter), KeyCountReply.self).count
    }
}

@Suite struct ListTests {
    @Test func aPageHasAsManyAsAskedForAsFarAsTheyFit() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                #expect(try instance.list() == ([], [0]))
                let made = try instance.pretend(1_001)
                var (ids, pages) = try instance.list()
                #expect(ids == made && pages == Array(repeating: Limits.defaultPage, count: 10) + [1])
                (ids, pages) = try instance.list(limit: UInt32(Limits.maximumPage))
                #expect(ids == made && pages == [500, 500, 1])
                // The longest texts that a key can have.
                _ = try instance.pretend(1_001) { key, _ in
                    key.name = String(repeating: "𐍈", count: Limits.maximumName)
                    key.description = String(repeating: "𐍈", count: Limits.maximumDescription)
                    key.tags = Array(repeating: String(repeating: "𐍈", count: Limits.maximumTag), count: 30)
                }
                for sort in [nil, "name", "-created,ring"] {
                    let (listed, sizes) = try instance.list(limit: UInt32(Limits.maximumPage), sort: sort)
                    #expect(listed.count == made.count && Set(listed) == Set(made))
                    #expect(sizes.allSatisfy { $0 < Limits.maximumPage } && sizes.dropLast().allSatisfy { $0 > 50 })
                }
            }
        }
    }

    @Test func listsAndCountsAreAboutTheSameKeys() async {
        await #expect(processExitsWith: .success) {
            try told {
                let instance = try TestInstance()
                let made = try instance.pretend(60) { key, number in
                    key.state = KeyState.allCases[number % 4]
                    key.kind = number % 5 == 0 ? .standard : .root
                    key.ring = number % 3 == 0 ? "thirds" : "default"
                    key.aliases = number % 10 == 0 ? ["alias-\(number)"] : []
                    key.expires = number % 6 == 0 ? instance.clock.now + 1 : nil
                }
                let shapes: [((inout KeyFilter) -> Void, (Int) -> Bool)] = [
                    ({ _ in }, { $0 % 4 != 3 }), ({ $0.states = [.destroyed] }, { $0 % 4 == 3 }),
                    ({ $0.states = KeyState.allCases }, { _ in true }), ({ $0.kind = .standard }, { $0 % 5 == 0 && $0 % 4 != 3 }),
                    ({ $0.ring = "thirds" }, { $0 % 3 == 0 && $0 % 4 != 3 }), ({ $0.ring = "no-such-ring" }, { _ in false }),
                    ({ $0.search = "exact:KEY 9" }, { $0 == 9 }), ({ $0.search = "alias:ALIAS-4" }, { $0 == 40 }),
                    ({ $0.filter = "state=5" }, { $0 % 4 == 3 }),
                    ({ $0.filter = "ring=thirds kind=root" }, { $0 % 3 == 0 && $0 % 5 != 0 && $0 % 4 != 3 }),
                    // Conditions of both kinds narrow together.
                    (
                        {
                            $0.states = [.active, .destroyed]
                            $0.filter = "state=active,suspended"
                        }, { $0 % 4 == 0 }
                    ),
                ]
                for (fill, isWanted) in shapes {
                    let wanted = made.indices.filter(isWanted).map { made[$0] }
                    #expect(try instance.list(limit: 7, fill).ids == wanted)
                    #expect(try instance.count(fill) == UInt64(wanted.count))
                }
                // Expiry counts with its moment.
                let before = try instance.count { $0.states = [.deactivated] }
                instance.clock.advance(1)
                #expect(try instance.count { $0.states = [.deactivated] } == before + 5)
                for filter in ["colour=red", "created=gt:yesterday"] {
                    var wrong = KeyFilter()
                    wrong.filter = filter
                    #expect(instance.refusal(.keyList, KeyListRequest(filter: wrong)) == .invalidValue)
                    #expect(instance.refusal(.keyCount, KeyCountRequest(filter: wrong)) == .invalidValue)
                }
                #expect(instance.refusal(.keyList, KeyListRequest(sort: "tag")) == .invalidValue)
                #expect(instance.refusal(.keyList, KeyListRequest(cursor: [1, 2, 3])) == .invalidValue)
            }
        }
    }

    /// 10,000 keys in the long form, with figures; no bound: that is for builds and machines that are measured.
    @Test func manyKeysAreSearched() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            try told {
                let count = SeededRandom.isLong ? 10_000 : 1_000
                let instance = try TestInstance()
                let made = try instance.pretend(count) { key, number in
                    key.aliases = number % 100 == 0 ? ["alias-\(number)"] : []
                    key.tags = ["t\(number % 10)"]
                    key.updated = UInt64((number &* 7_919) % count)
                }
                #expect(try instance.list(limit: 500).ids == made)
                #expect(try Set(instance.list(limit: 500, sort: "-updated,name").ids) == Set(made))
                let end = QueryCursor(
                    QuerySort.standard.place(
                        of: try #require(try instance.service.snapshots.current.keys[made[count - 101]]).stored, at: 0))
                var filter = KeyFilter()
                filter.filter = "tag=t3 created=gt:1970-01-01"
                var search = KeyFilter()
                search.search = "y 99"
                let calls: [(String, KeyListRequest)] = [
                    ("first page", KeyListRequest()), ("last page", KeyListRequest(cursor: end.bytes(for: .standard))),
                    ("search", KeyListRequest(filter: search)), ("filter", KeyListRequest(filter: filter)),
                    ("sort by name", KeyListRequest(sort: "name")), ("sort by -updated", KeyListRequest(sort: "-updated")),
                ]
                let clock = ContinuousClock()
                var figures: [String] = []
                func measure(_ name: String, _ call: () throws -> Void) throws {
                    let times = try (0..<(SeededRandom.isLong ? 100 : 10)).map { _ in try clock.measure(call) }.sorted()
                    figures.append("\(name) p50 \(times[times.count / 2]) p99 \(times[times.count * 99 / 100])")
                }
                for (name, request) in calls {
                    try measure(name) { _ = try instance.reply(.keyList, request, KeyListReply.self) }
                }
                try measure("count") { _ = try instance.count { $0.search = "y 99" } }
                print("ListTests: \(count) keys; \(figures.joined(separator: "; "))")
            }
        }
        let said = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
        for line in said.split(separator: "\n") where line.hasPrefix("ListTests: ") { print(line) }
    }
}
