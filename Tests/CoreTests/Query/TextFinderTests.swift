import Testing

@testable import ClavigerCore

@Suite struct TextFinderTests {
    @Test(arguments: [
        ("", "", true), ("", "a", false), ("*", "", true), ("*", "anything at all", true), ("a", "a", true), ("a", "ab", false),
        ("a*", "ab", true), ("a*", "ba", false), ("*a", "ba", true), ("*a", "ab", false), ("a*a", "a", false),
        ("a*a", "aa", true),
        ("a*b*c", "a--b--c", true), ("a*b*c", "a--c--b", false), ("*b*", "abc", true), ("**", "x", true), ("a**b", "ab", true),
        ("a*ab*b", "aabb", true), ("a*ab*b", "aab", false), ("é*", "éa", true), ("a?c", "abc", false), ("a?c", "a?c", true),
        ("crn:*:volume:*", "crn:v1:eu:volume:7", true), ("A*", "ab", false),
    ])
    func starsStandForAnything(pattern: String, text: String, isMatch: Bool) {
        #expect(TextPattern(pattern).matches(text) == isMatch)
    }

    /// Against the plain recursive definition.
    @Test(arguments: 0..<10) func agreesWithItsDefinition(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        func isMatch(_ pattern: ArraySlice<Character>, _ text: ArraySlice<Character>) -> Bool {
            guard let first = pattern.first else { return text.isEmpty }
            if first == "*" {
                return isMatch(pattern.dropFirst(), text) || (!text.isEmpty && isMatch(pattern, text.dropFirst()))
            }
            return text.first == first && isMatch(pattern.dropFirst(), text.dropFirst())
        }
        for _ in 0..<500 {
            let pattern = (0..<Int.random(in: 0...6, using: &random)).map { _ in Array("ab*").randomElement(using: &random) ?? "a"
            }
            let text = (0..<Int.random(in: 0...9, using: &random)).map { _ in Array("ab").randomElement(using: &random) ?? "a" }
            #expect(TextPattern(String(pattern)).matches(String(text)) == isMatch(pattern[...], text[...]), "\(pattern) \(text)")
        }
    }

    /// What would cost a naive search the product of the lengths.
    @Test func theCostIsLinear() {
        let text = String(repeating: "a", count: 200_000)
        #expect(TextFinder(Array(String(repeating: "a", count: 100_000).utf8) + [UInt8(ascii: "b")]).end(in: text.utf8) == nil)
        #expect(!TextPattern("*" + String(repeating: "a", count: 50_000) + "b*").matches(text))
    }
}
