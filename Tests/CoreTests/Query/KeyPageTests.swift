import ClavigerWire
import Testing

@testable import ClavigerCore

@Suite struct KeyPageTests {
    private static let now: UInt64 = 5_000

    /// A key whose properties repeat those of others, so that orders have ties.
    private static func key(_ low: UInt64, using random: inout SeededGenerator) -> KeyEntry {
        func moment() -> UInt64? { Bool.random(using: &random) ? .random(in: 4_990...5_010, using: &random) : nil }
        var stored = StoredKey(
            id: KeyID(high: .random(in: 0...3, using: &random), low: low),
            name: ["alpha", "beta", "gamma", "Ωmega", "alpha 2"].randomElement(using: &random) ?? "",
            state: KeyState.allCases.randomElement(using: &random) ?? .active, created: .random(in: 0...9, using: &random),
            version: 1)
        stored.kind = Bool.random(using: &random) ? .root : .standard
        stored.isImported = Bool.random(using: &random)
        stored.ring = ["default", "payments", "a-ring"].randomElement(using: &random) ?? ""
        stored.updated = .random(in: 0...9, using: &random)
        stored.rotated = moment()
        stored.expires = moment()
        stored.deleted = moment()
        stored.aliases = Bool.random(using: &random) ? ["alias-\(low)"] : []
        let version = StoredVersion(
            key: stored.id, version: 1, suite: .aesGCM, created: 0, knownAnswer: .absent, wrapsReserved: 0)
        return KeyEntry(stored, versions: [VersionEntry(version, counter: WrapCounter(reserved: 0))])
    }

    /// The end of a page, as a client gives it back for the next.
    private static func end(_ page: KeyPage, _ sort: QuerySort) throws -> QueryCursor? {
        guard page.hasMore, let last = page.keys.last else { return nil }
        return try QueryCursor(QueryCursor(sort.place(of: last.stored, at: now)).bytes(for: sort), for: sort)
    }

    private static let sorts = [
        "created", "-created", "id", "-id", "name", "-name", "state,name", "-state,-expires", "rotated", "-rotated",
        "ring,kind,-updated",
        "deleted,imported", "expirationDate,-creationDate", "extractable,-lastRotateDate,keyRing",
        "id,name,kind,state,imported,ring,created,updated,rotated,expires,deleted",
    ]

    private static let queries: [(search: String?, filter: String?, states: Set<KeyState>?)] = [
        (nil, nil, nil), ("alpha", nil, nil), ("not:alias:alias", nil, Set(KeyState.allCases)), (nil, "state=5", nil),
        (nil, "kind=root rotated=none", [.active, .suspended]), ("exact:beta", "expires=gt:1970-01-01", nil),
    ]

    /// A key without a moment comes last, whichever way the others stand.
    @Test func whatIsAbsentComesLast() throws {
        var keys = (1...3).map { number in
            StoredKey(id: KeyID(high: 1, low: UInt64(number)), name: "k\(number)", state: .active, created: 1, version: 1)
        }
        keys[0].expires = 20
        keys[2].expires = 10
        for (text, names) in [("expires", ["k3", "k1", "k2"]), ("-expires", ["k1", "k3", "k2"])] {
            let sort = try QuerySort(text)
            let ordered = keys.sorted { sort.isOrdered(sort.place(of: $0, at: 5), before: sort.place(of: $1, at: 5)) }
            #expect(ordered.map(\.name) == names, "\(text)")
        }
    }

    /// Page by page gives what filtering and sorting everything at once gives, in every order, without gap or repetition.
    @Test(arguments: sorts) func pagesGiveTheWholeListInOrder(text: String) throws {
        var random = SeededGenerator(seed: text.utf8.reduce(0) { $0 &* 31 &+ UInt64($1) })
        let sort = try QuerySort(text)
        let keys = (0..<120).map { KeyPageTests.key($0, using: &random) }
        let snapshot = Snapshot(epoch: 1, generation: 1, keys: Dictionary(uniqueKeysWithValues: keys.map { ($0.id, $0) }))
        for shape in KeyPageTests.queries {
            var query = KeyQuery()
            query.search = try shape.search.map { try QuerySearch($0) }
            query.filter = try shape.filter.map { try QueryFilter($0) }
            query.states = shape.states
            let isHidden = { (key: KeyEntry) in key.id.low % 7 == 3 }
            let wanted = keys.filter { query.matches($0.stored, at: KeyPageTests.now) && !isHidden($0) }
            let ordered = wanted.sorted {
                sort.isOrdered(
                    sort.place(of: $0.stored, at: KeyPageTests.now), before: sort.place(of: $1.stored, at: KeyPageTests.now))
            }
            #expect(snapshot.count(query, at: KeyPageTests.now) { !isHidden($0) } == wanted.count)
            for limit in [1, 7, 119, 120, 500] {
                var listed: [KeyID] = []
                var cursor: QueryCursor?
                repeat {
                    let page = snapshot.page(query, by: sort, after: cursor, limit: limit, at: KeyPageTests.now) { !isHidden($0) }
                    #expect(page.keys.count <= limit)
                    listed += page.keys.map(\.id)
                    cursor = try KeyPageTests.end(page, sort)
                    guard listed.count <= keys.count else { break }
                } while cursor != nil
                #expect(listed == ordered.map(\.id), "limit \(limit)")
            }
        }
    }

    /// Keys that come and go between pages neither hide nor repeat others, the last of a page included.
    @Test(arguments: ["created", "name,-created", "-expires"], 0..<5) func pagesStayStable(text: String, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let sort = try QuerySort(text)
        var query = KeyQuery()
        query.states = Set(KeyState.allCases)
        let keys = (0..<80).map { KeyPageTests.key($0, using: &random) }
        var snapshot = Snapshot(epoch: 1, generation: 1, keys: Dictionary(uniqueKeysWithValues: keys.map { ($0.id, $0) }))
        var gone: Set<KeyID> = []
        var come: Set<KeyID> = []
        var listed: [KeyID] = []
        var cursor: QueryCursor?
        var low: UInt64 = 1_000
        repeat {
            let page = snapshot.page(query, by: sort, after: cursor, limit: 6, at: KeyPageTests.now) { _ in true }
            listed += page.keys.map(\.id)
            cursor = try KeyPageTests.end(page, sort)
            // The last one shown goes, and some others; some come.
            for id in [page.keys.last?.id, snapshot.order.randomElement(using: &random)].compactMap({ $0 }) {
                gone.insert(id)
                snapshot = snapshot.without(id)
            }
            let new = KeyPageTests.key(low, using: &random)
            low += 1
            come.insert(new.id)
            snapshot = snapshot.with(new)
        } while cursor != nil
        #expect(Set(listed).count == listed.count)
        let stayed = Set(keys.map(\.id)).subtracting(gone)
        #expect(Set(listed).isSuperset(of: stayed))
        #expect(Set(listed).isSubset(of: Set(keys.map(\.id)).union(come)))
    }

    @Test func aCursorOfAnotherOrderOrNoneIsRefused() throws {
        var random = SeededGenerator(seed: 8)
        let key = KeyPageTests.key(1, using: &random).stored
        let byName = try QuerySort("name")
        let bytes = QueryCursor(byName.place(of: key, at: 0)).bytes(for: byName)
        #expect(try QueryCursor(bytes, for: byName).place == byName.place(of: key, at: 0))
        for sort in [QuerySort.standard, try QuerySort("-name"), try QuerySort("name,id")] {
            let refusal = #expect(throws: Refusal.self) { try QueryCursor(bytes, for: sort) }
            #expect(refusal?.code == .invalidValue)
        }
        for count in bytes.indices {
            #expect(throws: Refusal.self) { try QueryCursor(Array(bytes.prefix(count)), for: byName) }
        }
        #expect(throws: Refusal.self) { try QueryCursor(bytes + [0], for: byName) }
    }

    @Test func alteredCursorsNeverCrash() throws {
        var random = SeededGenerator(seed: 9)
        let sort = try QuerySort("name,expires,ring")
        let keys = (0..<20).map { KeyPageTests.key($0, using: &random) }
        let snapshot = Snapshot(epoch: 1, generation: 1, keys: Dictionary(uniqueKeysWithValues: keys.map { ($0.id, $0) }))
        for round in 0..<2_000 {
            var bytes = QueryCursor(sort.place(of: keys[round % 20].stored, at: 0)).bytes(for: sort)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 8..<bytes.count, using: &random)] = .random(in: .min ... .max, using: &random)
            }
            guard let cursor = try? QueryCursor(bytes, for: sort) else { continue }
            _ = snapshot.page(KeyQuery(), by: sort, after: cursor, limit: 5, at: KeyPageTests.now) { _ in true }
        }
    }

    @Test func theLongestCursorFits() throws {
        var key = StoredKey(
            id: KeyID(high: 1, low: 2), name: String(repeating: "𐍈", count: Limits.maximumName), state: .active, created: .max,
            version: 1)
        key.ring = String(repeating: "r", count: Limits.maximumRing)
        key.rotated = .max
        key.expires = .max
        key.deleted = .max
        let sort = try QuerySort("id,name,kind,state,imported,ring,created,updated,rotated,expires,deleted")
        let bytes = QueryCursor(sort.place(of: key, at: 0)).bytes(for: sort)
        #expect(bytes.count <= Limits.maximumCursor)
        #expect(try QueryCursor(bytes, for: sort).place == sort.place(of: key, at: 0))
    }

    @Test(arguments: ["", ",", "created,", "tag", "colour", "name,name", "created,creationDate", "--name", "name, ring", "+name"])
    func aSortThatIsNoneIsRefused(text: String) {
        let refusal = #expect(throws: Refusal.self) { try QuerySort(text) }
        #expect(refusal?.code == .invalidValue)
    }
}
