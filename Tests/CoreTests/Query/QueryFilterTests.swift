import ClavigerWire
import Testing

@testable import ClavigerCore

@Suite struct QueryFilterTests {
    /// A key with something to ask for in every property: created on 2026-03-01, changed on 2026-04-01, expires on 2027-01-01.
    private static let key: StoredKey = {
        var key = StoredKey(id: KeyID(high: 1, low: 2), name: "a", state: .active, created: 1_772_323_200_000, version: 1)
        key.updated = 1_775_001_600_000
        key.expires = 1_798_761_600_000
        key.kind = .standard
        key.isImported = true
        key.ring = "payments"
        key.tags = ["blue", "two words", "say \"hi\"\\"]
        return key
    }()
    private static let now: UInt64 = 1_780_000_000_000

    private func holds(_ filter: String, at now: UInt64 = QueryFilterTests.now) throws -> Bool {
        try QueryFilter(filter).matches(QueryFilterTests.key, at: now)
    }

    @Test(arguments: [
        ("created=gte:2026-03-01", true), ("created=gt:2026-03-01", false), ("created=lte:2026-03-01T00:00:00Z", true),
        ("created=lt:2026-03-01", false), ("created=lt:2026-03-01T00:00:00.001Z", true),
        ("created=gt:\"2026-02-28T23:59:59Z\"", true), ("creationDate=gte:\"2026-03-01T00:00:00Z\"", true),
        ("updated=gt:2026-03-15 updated=lt:2026-04-15", true), ("lastUpdateDate=gt:2026-04-15", false),
        ("rotated=none", true), ("lastRotateDate=none", true), ("rotated=lt:2030-01-01", false),
        ("rotated=gt:1970-01-01", false), ("expires=none", false), ("expirationDate=lte:2027-01-01", true),
        ("deleted=none", true), ("deletionDate=gt:2020-01-01", false), ("kind=standard", true), ("kind=root", false),
        ("kind=root,standard", true), ("extractable=true", true), ("extractable=false", false), ("state=active", true),
        ("state=1", true), ("state=2,3,5", false), ("state=suspended,1", true), ("imported=true", true),
        ("imported=false", false), ("ring=payments", true), ("keyRing=default", false), ("ring=default,payments", true),
        ("tag=blue", true), ("tag=green", false), ("tag=green,blue", true), ("tag=\"two words\"", true),
        ("tag=two words=x", false), ("tag=\"say \\\"hi\\\"\\\\\"", true), ("tag=Blue", false),
        ("kind=standard state=active ring=payments tag=blue created=gt:2026-01-01", true),
        ("kind=standard state=active ring=payments tag=green created=gt:2026-01-01", false), ("  kind=standard  ", true),
    ])
    func followsItsGrammar(filter: String, isFulfilled: Bool) throws {
        // One of them ends with a clause that is no property: what stands unquoted after a space is a clause of its own.
        guard filter != "tag=two words=x" else {
            let refusal = #expect(throws: Refusal.self) { try QueryFilter(filter) }
            #expect(refusal?.message.contains("'words' is no property") == true)
            return
        }
        #expect(try holds(filter) == isFulfilled)
    }

    @Test(arguments: [
        ("", "no condition"), ("   ", "no condition"), ("created", "has no '='"), ("=x", "has no '='"),
        ("color=red", "no property"),
        ("name=x", "no property"), ("id=x", "no property"), ("created=", "missing"), ("kind=", "missing"),
        ("kind=root,", "missing"),
        ("kind=,root", "missing"), ("created=2026-01-01", "wants none"), ("created=eq:2026-01-01", "wants none"),
        ("created=gt:tomorrow", "is no moment"), ("created=gt:", "is no moment"), ("created=none,none", "wants none"),
        ("created=gt:2026-01-01,2027-01-01", "wants none"), ("created=None", "wants none"), ("kind=Root", "takes root, standard"),
        ("kind=lt:root", "takes root, standard"), ("state=4", "takes active (1)"), ("state=0", "takes active (1)"),
        ("imported=yes", "takes true, false"), ("extractable=1", "takes true, false"), ("kind=root kind=root", "more than once"),
        ("extractable=true kind=root", "more than once"), ("tag=a tag=b", "more than once"), ("tag=\"open", "not closed"),
        ("tag=\"a\\", "backslash"), ("tag=\"a\\n\"", "backslash"), ("kind = root", "has no '='"),
    ])
    func saysWhatIsWrong(filter: String, problem: String) {
        let refusal = #expect(throws: Refusal.self) { try QueryFilter(filter) }
        #expect(refusal?.code == .invalidValue)
        #expect(refusal?.message.contains(problem) == true, "\(filter): \(refusal?.message ?? "")")
    }

    @Test func aDateStandsThreeTimesAndNotFour() throws {
        let clause = "created=gt:2020-01-01"
        let three = Array(repeating: clause, count: QueryLimits.clausesPerDate).joined(separator: " ")
        #expect(try QueryFilter(three).clauses.count == 3)
        // Both names are the same property.
        for fourth in [clause, "creationDate=none"] {
            let refusal = #expect(throws: Refusal.self) { try QueryFilter(three + " " + fourth) }
            #expect(refusal?.message.contains("more than 3 times") == true)
        }
        #expect(try QueryFilter(three + " updated=none").clauses.count == 4)
    }

    @Test func expiryCountsAtTheMomentOfTheQuestion() throws {
        let expires = try #require(QueryFilterTests.key.expires)
        #expect(try holds("state=active", at: expires - 1))
        #expect(try !holds("state=active", at: expires))
        #expect(try holds("state=deactivated", at: expires))
    }

    @Test func whatARefusalRepeatsIsShort() {
        let long = String(repeating: "é", count: 900)
        for filter in [long, long + "=x", "created=gt:" + long, "kind=" + long, "tag=" + long + " " + long] {
            let refusal = #expect(throws: Refusal.self) { try QueryFilter(filter) }
            #expect((refusal?.message.unicodeScalars.count ?? .max) < 300)
        }
    }

    @Test func destroyedKeysAreAskedForByTheFilter() throws {
        #expect(try QueryFilter("state=5").namesStates)
        #expect(try QueryFilter("deleted=gt:2020-01-01").namesStates)
        #expect(try !QueryFilter("kind=root created=none").namesStates)
    }

    private static let pieces = [
        "created", "creationDate", "expires", "state", "tag", "kind", "extractable", "ring", "imported", "name", "=", ":", ",",
        " ",
        "\"", "\\", "gt", "lte", "none", "2026-01-01", "T09:00:00Z", "active", "5", "true", "root", "ü", "\u{0}", "\u{301}", "-",
    ]

    /// Texts of any kind give a filter or a typed refusal, and never crash; the same for searches and sorts.
    @Test(arguments: 0..<40) func anyTextIsReadOrRefused(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let key = QueryFilterTests.key
        for _ in 0..<300 {
            var text = ""
            for _ in 0..<Int.random(in: 0...14, using: &random) {
                text += QueryFilterTests.pieces.randomElement(using: &random) ?? ""
            }
            do throws(Refusal) {
                let filter = try QueryFilter(text)
                #expect((1...20).contains(filter.clauses.count), "\(text)")
                _ = filter.matches(key, at: QueryFilterTests.now)
            } catch {
                #expect(error.code == .invalidValue && !error.message.isEmpty, "\(text)")
            }
            do throws(Refusal) {
                let search = try QuerySearch(text)
                // Whatever is looked for is found in itself.
                let name = text.unicodeScalars.count > 0 ? text : "x"
                if !search.isNegated, !search.isExact, search.looksAtNames {
                    #expect(search.matches(name: name, aliases: []), "\(text)")
                }
            } catch {
                #expect(error.code == .invalidValue && !error.message.isEmpty, "\(text)")
            }
            do throws(Refusal) {
                let sort = try QuerySort(text)
                #expect((1...QueryProperty.allCases.count).contains(sort.terms.count), "\(text)")
                #expect(sort.place(of: key, at: QueryFilterTests.now).values.count == sort.terms.count)
            } catch {
                #expect(error.code == .invalidValue && !error.message.isEmpty, "\(text)")
            }
        }
    }
}
