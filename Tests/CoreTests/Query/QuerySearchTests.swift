import ClavigerWire
import Testing

@testable import ClavigerCore

@Suite struct QuerySearchTests {
    /// Whether a search finds a key named `Payroll Zürich` with the aliases `pay-2026` and `Salaries`.
    private func finds(_ search: String) throws -> Bool {
        try QuerySearch(search).matches(name: "Payroll Zürich", aliases: ["pay-2026", "Salaries"])
    }

    @Test(arguments: [
        ("pay", true), ("PAYROLL", true), ("zÜRICH", true), ("2026", true), ("salar", true), ("nothing", false),
        ("Payroll  Z", false), ("name:pay", true), ("name:2026", false), ("alias:2026", true), ("alias:roll", false),
        ("name:alias:2026", true), ("alias:name:roll", true), ("exact:payroll zürich", true), ("exact:payroll", false),
        ("exact:salaries", true), ("exact:alias:salaries", true), ("alias:exact:SALARIES", true), ("exact:name:salaries", false),
        ("not:pay", false), ("not:zebra", true), ("not:name:2026", true), ("name:not:2026", true), ("not:exact:pay", true),
        ("exact:not:pay", true), ("exact:not:payroll zürich", false), ("escape:pay", true), ("escape:not:pay", false),
        ("not:escape:not:pay", true), ("Name:pay", false), ("notpay", false), (" ", true), ("name: ", true),
    ])
    func followsItsGrammar(search: String, isFound: Bool) throws {
        #expect(try finds(search) == isFound)
    }

    @Test func whatLooksLikeAPrefixIsFoundAfterEscape() throws {
        #expect(try QuerySearch("escape:not:a").matches(name: "do not:a", aliases: []))
        #expect(try QuerySearch("exact:escape:escape:").matches(name: "Escape:", aliases: []))
        #expect(try !QuerySearch("not:escape:name:x").matches(name: "my name:x", aliases: []))
    }

    @Test(arguments: ["", "not:", "exact:name:alias:", "escape:", "name:escape:"])
    func nothingToLookForIsRefused(search: String) {
        let refusal = #expect(throws: Refusal.self) { try QuerySearch(search) }
        #expect(refusal?.code == .invalidValue)
    }

    @Test(arguments: ["not:not:a", "exact:not:exact:a", "name:alias:name:"])
    func aPrefixTwiceIsRefused(search: String) {
        let refusal = #expect(throws: Refusal.self) { try QuerySearch(search) }
        #expect(refusal?.code == .invalidValue && refusal?.message.contains("twice") == true)
    }

    /// The search finds what looking at every place finds.
    @Test(arguments: 0..<20) func agreesWithLookingEverywhere(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let letters = Array("abAB")
        func text(_ range: ClosedRange<Int>) -> String {
            String((0..<Int.random(in: range, using: &random)).map { _ in letters.randomElement(using: &random) ?? "a" })
        }
        for _ in 0..<500 {
            let needle = text(1...6)
            let name = text(0...14)
            let lower = Array(name.lowercased())
            let wanted = Array(needle.lowercased())
            let isThere = lower.indices.contains { lower[$0...].starts(with: wanted) }
            #expect(try QuerySearch(needle).matches(name: name, aliases: []) == isThere, "\(needle) in \(name)")
            #expect(try QuerySearch("exact:" + needle).matches(name: name, aliases: []) == (lower == wanted))
        }
    }
}
